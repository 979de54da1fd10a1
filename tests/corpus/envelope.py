"""Building blocks of the corpora: a valid event, and functions that encode malformed ones."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgpack

Expectation = Literal["dead", "ignored", "accepted"]
Pair = tuple[bytes, bytes]

TENANT = "acme"
CONTACT = "c-corpus"
HOUR_US = 3600 * 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Envelope:
    """The bytes of the field `event` of a stream entry, and the expected outcome.

    The reason of a dead letter must contain `word`, in any case.
    """

    name: str
    raw: bytes
    expectation: Expectation
    word: str = ""


def moment(now_us: int, hours: float = 0) -> str:
    """The time this number of hours after `now_us`, in RFC 3339."""
    at = _EPOCH + timedelta(microseconds=now_us + int(hours * HOUR_US))
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def base(name: str, now_us: int, kind: str = "contact.tag.added", **data: Any) -> dict[str, Any]:
    """A valid event with `data` as last member. Its id contains the name of the envelope."""
    return {
        "specversion": "1.0",
        "id": f"corpus-{name}",
        "source": "corpus",
        "type": kind,
        "time": moment(now_us, -1),
        "tenantid": TENANT,
        "data": {"contact_id": CONTACT, **data},
    }


def as_json(event: dict[str, Any]) -> str:
    return json.dumps(event, ensure_ascii=False)


def as_msgpack(value: Any) -> bytes:
    return bytes(msgpack.packb(value))


def json_in_data(event: dict[str, Any], member: str) -> bytes:
    """The event with an additional member, as JSON text, at the end of `data`."""
    return f"{as_json(event)[:-2]}, {member}}}}}".encode("utf-8", "surrogatepass")


def json_at_top(event: dict[str, Any], member: str) -> bytes:
    """The event with an additional member, as JSON text, at the end of the envelope."""
    return f"{as_json(event)[:-1]}, {member}}}".encode()


def pairs(members: dict[str, Any]) -> list[Pair]:
    """The packed keys and values of a map."""
    return [(as_msgpack(key), as_msgpack(value)) for key, value in members.items()]


def packed_map(members: Iterable[Pair], length: int | None = None) -> bytes:
    """A MessagePack map of packed members. `length` replaces the true length in the header."""
    members = list(members)
    length = len(members) if length is None else length
    header = bytes([0x80 | length]) if length < 16 else b"\xde" + length.to_bytes(2, "big")
    return header + b"".join(key + value for key, value in members)


def msgpack_in_data(event: dict[str, Any], key: bytes, value: bytes) -> bytes:
    """The event with an additional packed member at the end of `data`."""
    head = [(k, v) for k, v in pairs(event) if k != as_msgpack("data")]
    data = packed_map([*pairs(event["data"]), (key, value)])
    return packed_map([*head, (as_msgpack("data"), data)])


def msgpack_at_top(event: dict[str, Any], key: bytes, value: bytes) -> bytes:
    """The event with an additional packed member at the end of the envelope."""
    return packed_map([*pairs(event), (key, value)])
