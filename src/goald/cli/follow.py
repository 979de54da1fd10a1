"""Entries of the outbound streams and of `goald:dead`, and reading along several of them at
once without taking anything from anybody."""

import json
from dataclasses import dataclass
from typing import Any

from goald.adapters.redis.connect import Client, service_errors

PAGE = 500
WAIT_MS = 1_000
BEGINNING = b"0-0"


@dataclass(frozen=True, slots=True)
class StreamEntry:
    """An entry of an outbound stream or of `goald:dead`."""

    stream: str
    id: str
    fields: dict[str, bytes]

    def event(self) -> dict[str, Any] | None:
        """The event in it, or None where it cannot be decoded, as in some dead letters."""
        return decoded(self.fields.get("event", b""))

    def tenant(self) -> str | None:
        """Whose it is, where that can be said."""
        event = self.event()
        tenant = event.get("tenantid") if event is not None else None
        return tenant if isinstance(tenant, str) else None


def decoded(event: bytes) -> dict[str, Any] | None:
    """An event as a map, from JSON or MessagePack, told apart by the first byte; None where
    it is neither."""
    try:
        if event[:1].isspace() or event[:1] == b"{":
            found = json.loads(event)
        else:
            import msgpack

            found = msgpack.unpackb(event, strict_map_key=False)
    except Exception:  # msgpack raises a dozen kinds; each means that it is no event
        return None
    return found if isinstance(found, dict) else None


async def last_id(client: Client, stream: str) -> bytes:
    """The id of the newest entry, behind which `read` gives only newer ones."""
    async with service_errors():
        newest = await client.xrevrange(stream, count=1)
    return bytes(newest[0][0]) if newest else BEGINNING


async def read(
    client: Client, after: dict[str, bytes], wait_ms: int | None = WAIT_MS
) -> list[StreamEntry]:
    """The next entries of these streams behind these ids, which are moved on; waits at most
    so long for the first. None for not at all."""
    async with service_errors():
        found = await client.xread(after, count=PAGE, block=wait_ms)
    entries = []
    for stream, page in found or []:
        name = stream.decode()
        after[name] = page[-1][0]
        entries += [
            StreamEntry(
                name, entry_id.decode(), {key.decode(): value for key, value in fields.items()}
            )
            for entry_id, fields in page
        ]
    return entries
