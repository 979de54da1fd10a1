"""Events that exceed the limits of D9, each as JSON and as MessagePack."""

from collections.abc import Iterator
from typing import Any

from tests.corpus.envelope import Envelope, as_json, as_msgpack, base

MIB = 1 << 20


def nested_lists(levels: int) -> Any:
    """Nested lists of this depth."""
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


def nested_maps(levels: int) -> Any:
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"m": value}
    return value


def keys(count: int) -> dict[str, int]:
    return {f"k{number}": number for number in range(count)}


def bad_limits(now_us: int) -> Iterator[Envelope]:
    for name, event, word in _events(now_us):
        yield Envelope(f"json-{name}", as_json(event).encode(), "dead", word)
        yield Envelope(f"msgpack-{name}", as_msgpack(event), "dead", word)
    yield from _too_deep_to_build(now_us)


def _events(now_us: int) -> Iterator[tuple[str, dict[str, Any], str]]:
    def with_data(name: str, **data: Any) -> dict[str, Any]:
        return base(name, now_us, **data)

    plain = with_data("plain")
    yield "tag-name-of-1025", with_data("long-tag", tag_name="x" * 1025), "longer than 1024"
    yield "type-of-1025", plain | {"type": "x" * 1025}, "longer than 1024"
    yield "id-of-1025", plain | {"id": "x" * 1025}, "longer than 1024"
    # The envelope and data are maps 1 and 2: with 31 lists more, the last is the 33rd.
    yield "depth-33-of-lists", with_data("deep", nested=nested_lists(31)), "deep"
    yield "depth-33-of-maps", with_data("deep-maps", nested=nested_maps(31)), "deep"
    yield "depth-33-in-an-attribute", plain | {"extension": nested_lists(32)}, "deep"
    yield "event-of-300-kb", with_data("large", notes=["x" * 1000] * 300), "256 KiB"
    yield "string-of-1-mib", with_data("mib", note="x" * MIB), "256 KiB"
    yield "id-of-1-mib", plain | {"id": "x" * MIB}, "256 KiB"
    yield "contact-of-60-kb", with_data("contact", contact_id="c" * 60_000), "contact_id"
    yield "nul-in-a-tag-name", with_data("nul", tag_name="a\0b"), "NUL"


def _too_deep_to_build(now_us: int) -> Iterator[Envelope]:
    """10,000 levels, concatenated because encoders refuse this depth."""
    text, levels = as_json(base("very-deep", now_us))[:-2] + ', "n": ', 10_000
    lists = text + "[" * levels + "]" * levels + "}}"
    # 6 bytes per level: with all levels closed, the event is under 256 KiB.
    maps = text + '{"":' * levels + "1" + "}" * levels + "}}"
    yield Envelope("json-depth-10000-of-lists", lists.encode(), "dead", "deep")
    yield Envelope("json-depth-10000-of-maps", maps.encode(), "dead", "deep")
    # Too deep and not closed: either may be the reason.
    yield Envelope("json-depth-10000-unclosed", (text + "[" * levels).encode(), "dead")
    yield Envelope("json-12000-maps-unclosed", b'{"a":' * 12_000, "dead")
    yield Envelope("json-60000-brackets", b"[" * 60_000, "dead", "JSON")
    packed = as_msgpack(base("very-deep", now_us, n=1))[:-1]
    maps_packed = packed + b"\x81\xa1a" * levels + b"\xc0"
    yield Envelope(
        "msgpack-depth-10000-of-lists", packed + b"\x91" * levels + b"\xc0", "dead", "deep"
    )
    yield Envelope("msgpack-depth-10000-of-maps", maps_packed, "dead", "deep")
    yield Envelope("msgpack-20000-maps-unclosed", b"\x81\xa1a" * 20_000, "dead")
