"""Unusual envelopes that must be accepted: edge cases of both encodings, and events exactly at
the limits of D9."""

import json
import struct
from collections.abc import Iterator
from typing import Any

from tests.corpus.bad_limits import keys, nested_lists, nested_maps
from tests.corpus.envelope import (
    CONTACT,
    Envelope,
    as_json,
    as_msgpack,
    base,
    json_in_data,
    moment,
    msgpack_in_data,
    packed_map,
    pairs,
)

EVENT_BYTES = 256 * 1024
ESCAPED_A = r"\u0041"


def good_envelopes(now_us: int) -> list[Envelope]:
    """All of them, each with a unique name and a type that goald processes."""
    found = [*_both(now_us), *_json(now_us), *_msgpack(now_us)]
    return [Envelope(name, raw, "accepted") for name, raw in found]


def _both(now_us: int) -> Iterator[tuple[str, bytes]]:
    for name, event in _events(now_us):
        yield f"json-{name}", as_json(event).encode()
        yield f"msgpack-{name}", as_msgpack(event)


def _events(now_us: int) -> Iterator[tuple[str, dict[str, Any]]]:
    def tag(name: str, **data: Any) -> tuple[str, dict[str, Any]]:
        return name, base(name, now_us, **data)

    def paid(name: str, **data: Any) -> tuple[str, dict[str, Any]]:
        return name, base(name, now_us, "payment.completed", **data)

    def with_attributes(name: str, **attributes: Any) -> tuple[str, dict[str, Any]]:
        return name, base(name, now_us, tag_id="t-1") | attributes

    yield tag("nothing-but-a-contact")
    yield tag("string-of-100-kb", note="x" * 100_000)
    yield tag("key-of-1025", **{"k" * 1025: 1})
    yield tag("tag-name-of-1024", tag_name="x" * 1024)
    yield tag("nul-in-a-field-not-read", note="a\0b", notes=[["\0"]], **{"a\0b": 1})
    yield tag("500-keys-in-data", **keys(500))
    yield tag("500-keys-in-a-map-of-data", more=keys(500))
    yield paid("500-keys-in-a-line-item", line_items=[keys(500)])
    yield with_attributes("500-keys-in-the-envelope", **keys(500))
    # The envelope and data are maps 1 and 2.
    yield tag("depth-32-of-lists", nested=nested_lists(30))
    yield tag("depth-32-of-maps", nested=nested_maps(30))
    yield with_attributes("depth-32-in-an-attribute", extension=nested_lists(31))
    yield tag("id-of-256", contact_id="c" * 256)
    yield tag("id-of-256-characters-of-3-bytes", contact_id="カ" * 256)
    yield tag("id-of-192-characters-of-4-bytes", contact_id="\U0001f600" * 192)
    yield tag("integer-ids", contact_id=7, tag_id=2**63)
    yield with_attributes("integer-attributes", id=7, source=8)
    yield tag("ids-with-spaces-and-signs", contact_id=" a b/c:d%20\u00a0\u3000 ")
    yield tag("tag-name-empty", tag_name="")
    yield tag("nulls-for-what-is-optional", tag_id=None, tag_name=None)
    yield paid("nulls-in-a-payment", amount=None, currency=None, product_id=None, line_items=None)
    yield paid("line-items-empty", line_items=[])
    yield paid("line-items-without-product", line_items=[{}, {"product_id": None}, {"price": 2}])
    yield with_attributes("nulls-in-the-envelope", specversion=None, traceparent=None)
    yield with_attributes("unknown-attributes", subject=None, datacontenttype="application/json",
                          partitionkey=5, extension={"a": [1, {"b": None}]})  # fmt: skip
    yield with_attributes(
        "traceparent", traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    )
    for name, time in {
        "lower-case": "2026-01-01t00:00:00z",
        "nine-digits": "2026-01-01T00:00:00.123456789Z",
        "one-digit": "2026-01-01T00:00:00.5+05:30",
        "unknown-offset": "2026-01-01T00:00:00-00:00",
        "far-east": "2026-01-01T00:00:00+14:00",
        "before-1970": "1969-12-31T23:59:59.999999Z",
        "leap-day": "2024-02-29T12:00:00Z",
        "24h-ahead": moment(now_us, 24),
        "offset-without-colon": "2026-01-01T00:00:00+0100",
        "offset-of-hours": "2026-01-01 00:00:00.5+01",
        "space": "2026-01-01 00:00:00 UTC",
        "comma": "2026-01-01T00:00:00,5Z",
        "without-seconds": "2026-01-01T00:00Z",
        "seconds": 1_767_225_600,
        "milliseconds": 1_767_225_600_123,
        "microseconds": 1_767_225_600_123_456,
        "seconds-with-fraction": 1_767_225_600.25,
        "seconds-as-text": "1767225600",
        "milliseconds-as-text": "1767225600123",
    }.items():
        yield with_attributes(f"time-{name}", time=time)
    for name, amount in {
        "of-18-digits": "123456789012345678",
        "of-18-digits-behind-zeros": "000123456789012345678",
        "of-18-digits-with-point": "-12345678901234567.8",
        "zero": 0,
        "minus-zero": "-0.00",
        "minus": -5,
        "integer-of-18-digits": 10**18 - 1,
        "float": 49.9,
        "float-minus-zero": -0.0,
        "float-tiny": 5e-324,
        "float-of-18-digits": 1e17,
    }.items():
        yield paid(f"amount-{name}", amount=amount)
    started = {"workflow_id": "w-unknown", "enrollment_id": "e-corpus-good"}
    for name, pending in {"0": 0, "greatest": 1_000_000, "null": None}.items():
        data = {**started, "enrollment_id": f"e-corpus-{name}", "pending_actions": pending}
        yield f"pending-{name}", base(name, now_us, "workflow.enrollment.started", **data)


def _json(now_us: int) -> Iterator[tuple[str, bytes]]:
    event = base("json-odd", now_us, tag_name="caf\u00e9 \U0001f600")
    text = as_json(event)
    yield "json-only-ascii", json.dumps(event).encode()
    yield "json-white-space", json.dumps(event, indent="\t").replace("\n", "\r\n ").encode()
    yield "json-surrounding-white-space", b" \r\n\t" + text.encode() + b"\n\n"
    yield "json-no-white-space", json.dumps(event, separators=(",", ":")).encode()
    yield "json-every-character-escaped", _escaped(event).encode()
    yield "json-data-first", as_json(dict(reversed(event.items()))).encode()
    yield "json-short-escapes", json_in_data(event, r'"note": "\"\\\/\b\f\n\r\t"')
    yield "json-string-of-1024-by-escapes", json_in_data(event, f'"note": "{ESCAPED_A * 1024}"')
    yield "json-exactly-256-kib", text.encode().ljust(EVENT_BYTES)
    for name, number in {
        "exponent": "1e2", "exponent-plus": "1E+2", "exponent-minus": "1.50e-1",
        "minus-zero": "-0", "zero-exponent": "0e0", "decimals": "0.00010",
        "many-decimals": "0.1000000000000000055511151231257827",
    }.items():  # fmt: skip
        paid = base(f"json-{name}", now_us, "payment.completed")
        yield f"json-amount-written-{name}", json_in_data(paid, f'"amount": {number}')
    for name, member in {
        "surrogate-high": r'"note": "\ud83d"', "surrogate-low": r'"note": "\udc00"',
        "surrogate-in-a-key": r'"\ud800": 1', "nul-escaped": r'"note": "a\u0000b"',
        "duplicate-keys": '"x": 1, "x": 2', "duplicate-nested": '"n": {"m": [{"k": 1, "k": 2}]}',
        "number-1e400": '"other": 1e400', "number-of-1100-digits": '"other": 0.' + "1" * 1100,
    }.items():  # fmt: skip
        yield f"json-not-read-{name}", json_in_data(event, member)
    for name, number in {
        "1e308": "1e308", "1e-400": "1e-400", "0e400": "0e400", "of-300-digits": "9" * 300,
    }.items():  # fmt: skip
        yield f"json-other-{name}", json_in_data(event, f'"other": {number}')


def _escaped(value: Any) -> str:
    """JSON in which every character of a string is a \\u escape, or a pair of them."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{_escaped(k)}:{_escaped(v)}" for k, v in value.items()) + "}"
    units = str(value).encode("utf-16-be").hex()
    return '"' + "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)) + '"'


def _msgpack(now_us: int) -> Iterator[tuple[str, bytes]]:
    event = base("msgpack-odd", now_us, tag_id="t-1")
    data = as_msgpack("data")
    head = [(key, value) for key, value in pairs(event) if key != data]
    for name, header in {
        "8": b"\xd9\x04", "16": b"\xda\x00\x04", "32": b"\xdb\x00\x00\x00\x04",
    }.items():  # fmt: skip
        body = packed_map(
            [(b"\xaacontact_id", as_msgpack(CONTACT)), (header + b"note", header + b"abcd")]
        )
        yield f"msgpack-string-header-{name}", packed_map([*head, (header + b"data", body)])
    for name, size in {"16": 2, "32": 4}.items():
        prefix = b"\xde" if size == 2 else b"\xdf"
        packed = b"".join(key + value for key, value in pairs(event))
        yield f"msgpack-map-header-{name}", prefix + len(event).to_bytes(size, "big") + packed
        items = (b"\xdc" if size == 2 else b"\xdd") + (2).to_bytes(size, "big") + b"\x01\xc0"
        yield f"msgpack-list-header-{name}", msgpack_in_data(event, b"\xa1n", items)
    yield "msgpack-data-first", packed_map(reversed(pairs(event)))
    for name, number in {
        "fixed": b"\x05", "fixed-minus": b"\xfb",
        "u8": b"\xcc\x05", "u16": b"\xcd\x00\x05", "u32": b"\xce\x00\x00\x00\x05",
        "u64": b"\xcf" + struct.pack(">Q", 5),
        "i8": b"\xd0\xfb", "i16": b"\xd1\xff\xfb", "i32": b"\xd2\xff\xff\xff\xfb",
        "i64": b"\xd3" + struct.pack(">q", -5),
        "f32": b"\xca" + struct.pack(">f", 49.5), "f64": b"\xcb" + struct.pack(">d", 49.5),
    }.items():  # fmt: skip
        paid = base(f"msgpack-amount-{name}", now_us, "payment.completed")
        yield f"msgpack-amount-{name}", msgpack_in_data(paid, b"\xa6amount", number)
    for name, number in {
        "greatest": b"\xcf" + b"\xff" * 8, "least": b"\xd3\x80" + b"\0" * 7,
        "true": b"\xc3", "nil": b"\xc0", "least-float": b"\xcb\xff\xef" + b"\xff" * 6,
    }.items():  # fmt: skip
        yield f"msgpack-other-{name}", msgpack_in_data(event, b"\xa5other", number)
    for name, value in {
        "binary-8": b"\xc4\x03abc", "binary-32": b"\xc6\x00\x00\x00\x03abc",
        "extension-fixed-16": b"\xd8\x01" + b"a" * 16, "extension-8": b"\xc7\x03\x01abc",
        "timestamp": b"\xd6\xff\x65\x00\x00\x00", "extension-in-a-list": b"\x91\xd4\x01a",
        "not-utf8": b"\xa1\xff", "nan": b"\xcb" + struct.pack(">d", float("nan")),
    }.items():  # fmt: skip
        yield f"msgpack-not-read-{name}", msgpack_in_data(event, b"\xa5other", value)
    yield "msgpack-exactly-256-kib", _of_256_kib(event)


def _of_256_kib(event: dict[str, Any]) -> bytes:
    """An event of exactly EVENT_BYTES, filled with strings."""
    filling = ["x" * 1000] * 261
    for length in range(1024):
        raw = msgpack_in_data(event, b"\xa1n", as_msgpack([*filling, "y" * length]))
        if len(raw) == EVENT_BYTES:
            return raw
    raise AssertionError("no length of the last string fills the event")
