"""What the corpora are made of: a base event, and the two encodings taken apart enough to be
spoiled."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgpack

Expectation = Literal["dead", "passed over", "accepted"]
Pair = tuple[bytes, bytes]

TENANT = "acme"
CONTACT = "c-corpus"
HOUR_US = 3600 * 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Envelope:
    """The bytes of one stream entry's `event`, and what must become of it.

    `word` is in the reason of a dead one, whatever its case: a person must learn what is wrong.
    """

    name: str
    raw: bytes
    expectation: Expectation
    word: str = ""


def moment(now_us: int, hours: float = 0) -> str:
    """RFC 3339, so many hours from now."""
    at = _EPOCH + timedelta(microseconds=now_us + int(hours * HOUR_US))
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def base(name: str, now_us: int, kind: str = "contact.tag.added", **data: Any) -> dict[str, Any]:
    """A good event, `data` last. Its id tells which envelope it was."""
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
    """The event with one more member, given as text, at the end of `data`."""
    return f"{as_json(event)[:-2]}, {member}}}}}".encode("utf-8", "surrogatepass")


def json_at_top(event: dict[str, Any], member: str) -> bytes:
    """The same at the end of the envelope."""
    return f"{as_json(event)[:-1]}, {member}}}".encode()


def pairs(members: dict[str, Any]) -> list[Pair]:
    """A map's members, each packed."""
    return [(as_msgpack(key), as_msgpack(value)) for key, value in members.items()]


def packed_map(members: Iterable[Pair], claimed: int | None = None) -> bytes:
    """A MessagePack map of packed members; `claimed` says another length than the true one."""
    members = list(members)
    length = len(members) if claimed is None else claimed
    header = bytes([0x80 | length]) if length < 16 else b"\xde" + length.to_bytes(2, "big")
    return header + b"".join(key + value for key, value in members)


def msgpack_in_data(event: dict[str, Any], key: bytes, value: bytes) -> bytes:
    """The event with one more member, packed, at the end of `data`."""
    head = [(k, v) for k, v in pairs(event) if k != as_msgpack("data")]
    data = packed_map([*pairs(event["data"]), (key, value)])
    return packed_map([*head, (as_msgpack("data"), data)])


def msgpack_at_top(event: dict[str, Any], key: bytes, value: bytes) -> bytes:
    """The same at the end of the envelope."""
    return packed_map([*pairs(event), (key, value)])
