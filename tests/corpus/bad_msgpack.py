"""Invalid MessagePack, and MessagePack that is not allowed in an event."""

import struct
from collections.abc import Iterator

from tests.corpus.envelope import (
    Envelope,
    as_msgpack,
    base,
    msgpack_at_top,
    msgpack_in_data,
    packed_map,
    pairs,
)

FOUR_BILLION = b"\xff\xff\xff\xff"


def bad_msgpack(now_us: int) -> Iterator[Envelope]:
    event = base("msgpack", now_us, note="n", tag_id="t-1")
    for name, raw, word in _whole(now_us):
        yield Envelope(f"msgpack-{name}", raw, "dead", word)
    for name, value, word in _values():
        inside = msgpack_in_data(base(f"msgpack-{name}", now_us), as_msgpack("other"), value)
        yield Envelope(f"msgpack-{name}", inside, "dead", word)
    for name, text in {
        "continuation-alone": b"\x80",
        "cut": b"\xc3",
        "overlong": b"\xc0\xaf",
        "surrogate": b"\xed\xa0\x80",
        "beyond-unicode": b"\xf4\x90\x80\x80",
        "latin-1": b"caf\xe9",
    }.items():
        raw = msgpack_in_data(
            base(f"msgpack-utf8-{name}", now_us),
            as_msgpack("tag_name"),
            bytes([0xA0 | len(text)]) + text,
        )
        yield Envelope(f"msgpack-utf8-{name}", raw, "dead", "UTF-8")
    for name, value in {
        "nan": b"\xcb" + struct.pack(">d", float("nan")),
        "nan-of-32-bits": b"\xca" + struct.pack(">f", float("nan")),
        "infinity": b"\xcb" + struct.pack(">d", float("inf")),
        "minus-infinity": b"\xcb" + struct.pack(">d", float("-inf")),
        "infinity-of-32-bits": b"\xca" + struct.pack(">f", float("inf")),
    }.items():
        paid = base(f"msgpack-amount-{name}", now_us, "payment.completed")
        raw = msgpack_in_data(paid, as_msgpack("amount"), value)
        yield Envelope(f"msgpack-amount-{name}", raw, "dead", "amount")
    for name, key in {
        "integer": b"\x05",
        "nil": b"\xc0",
        "float": as_msgpack(1.5),
        "list": b"\x91\x01",
        "map": b"\x80",
        "binary": b"\xc4\x01a",
    }.items():
        yield Envelope(f"msgpack-key-{name}", msgpack_in_data(event, key, b"\x01"), "dead", "key")
        yield Envelope(
            f"msgpack-top-key-{name}", msgpack_at_top(event, key, b"\x01"), "dead", "key"
        )
    for name, key in {
        "tag": as_msgpack("tag_id"),
        "contact": as_msgpack("contact_id"),
        "by-longer-header": b"\xd9\x06tag_id",
        "by-longest-header": b"\xdb\x00\x00\x00\x06tag_id",
    }.items():
        yield Envelope(
            f"msgpack-duplicate-{name}",
            msgpack_in_data(event, key, b"\x01"),
            "dead",
            "duplicate key",
        )
    for name, key in {"tenant": b"\xa8tenantid", "type": b"\xa4type", "data": b"\xa4data"}.items():
        value = b"\x81\xaacontact_id\xa1c" if name == "data" else b"\xa1x"
        yield Envelope(
            f"msgpack-duplicate-{name}", msgpack_at_top(event, key, value), "dead", "duplicate key"
        )


def _whole(now_us: int) -> Iterator[tuple[str, bytes, str]]:
    event = base("msgpack", now_us, note="n")
    raw = as_msgpack(event)
    for name, cut in {
        "after-header": 1,
        "in-a-key": 5,
        "before-a-value": 1 + len(as_msgpack("specversion")),
        "in-a-string": raw.index(b"corpus-msgpack") + 5,
        "in-data": raw.index(b"contact_id") + 3,
        "before-the-end": len(raw) - 1,
    }.items():
        yield f"cut-{name}", raw[:cut], "unexpected end"
    yield "one-byte-behind", raw + b"\xc0", "trailing bytes"
    yield "two-events", raw + raw, "trailing bytes"
    yield "more-members-than-declared", packed_map(pairs(event), len(event) - 1), ""
    yield "fewer-members-than-declared", packed_map(pairs(event), len(event) + 1), "unexpected end"
    yield "empty-map", b"\x80", ""
    yield "a-list-of-events", b"\x91" + raw, "MessagePack"
    yield "binary-of-an-event", b"\xc5" + len(raw).to_bytes(2, "big") + raw, "MessagePack"
    yield "a-string-of-an-event", b"\xda" + len(raw).to_bytes(2, "big") + raw, "MessagePack"
    yield "nil", b"\xc0", "MessagePack"
    yield "an-integer", b"\x11", "MessagePack"
    yield "never-used-byte", b"\xc1", "MessagePack"
    yield "extension", b"\xd6\xff\x00\x00\x00\x00", "MessagePack"
    yield "map-of-4-billion", b"\xdf" + FOUR_BILLION, ""
    yield "map-of-4-billion-and-one-member", b"\xdf" + FOUR_BILLION + raw[1:], ""
    yield "map-of-65535", b"\xde\xff\xff" + raw[1:], ""


def _values() -> Iterator[tuple[str, bytes, str]]:
    """Values of a member of `data` that goald does not read, at the end of the event."""
    yield "value-never-used-byte", b"\xc1", "MessagePack"
    # Lengths beyond the end of the event: the decoder must not allocate that much memory.
    yield "list-of-4-billion", b"\xdd" + FOUR_BILLION, "unexpected end"
    yield "list-of-65535", b"\xdc\xff\xff", "unexpected end"
    yield "map-of-4-billion-in-data", b"\xdf" + FOUR_BILLION, ""
    yield "string-of-4-billion", b"\xdb" + FOUR_BILLION, ""
    yield "binary-of-4-billion", b"\xc6" + FOUR_BILLION, ""
    yield "extension-of-4-billion", b"\xc9" + FOUR_BILLION + b"\x01", ""
    yield "float-cut", b"\xcb\x3f\xf0", "unexpected end"
    yield "integer-cut", b"\xcf\x00\x00", "unexpected end"
    yield "value-missing", b"", "unexpected end"
