"""The dead letters in Redis: list, show, replay and purge (D4)."""

from collections.abc import Sequence
from typing import Any

from redis.exceptions import NoPermissionError, ResponseError

from goald.adapters.redis.admin import stream_count
from goald.adapters.redis.connect import Client, service_errors
from goald.adapters.redis.dead_letters.scripts import KEYS, REMOVE, REPLAY
from goald.domain.errors import NotFound
from goald.domain.streams import DEFAULT_STREAMS
from goald.ports.dead_letters import StoredDeadLetter
from goald.redis_keys import DEAD, FIELD, STREAM_COUNT, event_stream

_PAGE = 1_000


class RedisDeadLetterStore:
    """A `DeadLetterStore` over the stream `goald:dead`. The client stays with its owner."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def count(self) -> int:
        async with service_errors():
            return int(await self._client.xlen(DEAD))

    async def page(
        self, limit: int, *, after: str | None = None, newest_first: bool = False
    ) -> list[StoredDeadLetter]:
        bound = f"({after}" if after else None
        try:
            async with service_errors():
                if newest_first:
                    entries = await self._client.xrevrange(DEAD, max=bound or "+", count=limit)
                else:
                    entries = await self._client.xrange(DEAD, min=bound or "-", count=limit)
        except NoPermissionError:
            raise
        except ResponseError:
            raise NotFound(f"{after!r} is not the id of a dead letter") from None
        return [_dead_letter(entry_id, fields) for entry_id, fields in entries]

    async def get(self, dead_letter_id: str) -> StoredDeadLetter:
        try:
            async with service_errors():
                entries = await self._client.xrange(DEAD, min=dead_letter_id, max=dead_letter_id)
        except NoPermissionError:
            raise
        except ResponseError:  # The text is not an entry id.
            entries = []
        if not entries:
            raise NotFound(f"there is no dead letter {dead_letter_id}")
        return _dead_letter(*entries[0])

    async def replay(self, dead_letter_id: str) -> str:
        dead_letter = await self.get(dead_letter_id)
        sent: Any = 0
        while sent == 0:
            count = await stream_count(self._client)
            keys = *KEYS, _stream_now(dead_letter.stream, count), STREAM_COUNT
            arguments = dead_letter_id, FIELD, dead_letter.event, count, DEFAULT_STREAMS
            async with service_errors():
                sent = await self._client.eval(REPLAY, len(keys), *keys, *arguments)
        if sent is None:
            raise NotFound(f"there is no dead letter {dead_letter_id} any more")
        return str(sent.decode())

    async def purge(self, *, limit: int | None = None, older_than_us: int | None = None) -> int:
        newest = "+" if older_than_us is None else f"({older_than_us // 1_000}-0"
        removed = 0
        while limit is None or removed < limit:
            page = _PAGE if limit is None else min(_PAGE, limit - removed)
            async with service_errors():
                entries = await self._client.xrange(DEAD, max=newest, count=page)
                if not entries:
                    break
            removed += await remove(self._client, [entry_id for entry_id, _ in entries])
        return removed


async def remove(client: Client, ids: Sequence[str | bytes]) -> int:
    """Delete the dead letters with these ids and discount them, atomically. Returns how many there
    were. Raises ServiceUnavailable."""
    async with service_errors():
        return int(await client.eval(REMOVE, len(KEYS), *KEYS, *ids))


def _stream_now(stream: str, count: int) -> str:
    """A stream that goald reads. The event may go to any stream, because its order is lost
    already."""
    name, _, partition = stream.rpartition(":")
    if name == event_stream(0).rpartition(":")[0] and partition.isdecimal():
        return event_stream(int(partition) % count)
    return stream


def _dead_letter(entry_id: bytes, fields: dict[bytes, bytes]) -> StoredDeadLetter:
    def text(name: bytes) -> str:
        return fields.get(name, b"").decode(errors="backslashreplace")

    return StoredDeadLetter(
        id=entry_id.decode(),
        stream=text(b"stream"),
        entry_id=text(b"id"),
        event=fields.get(FIELD.encode(), b""),
        reason=text(b"reason"),
        delivery_attempts=int(fields.get(b"delivery_attempts", b"0")),
        at=text(b"at"),
    )
