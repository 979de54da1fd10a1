"""Reads streams without a consumer group: other readers are not affected."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from goald.client.connection import TIMEOUT_S, Connection, own_connection, unavailable
from goald.client.envelope import decode
from goald.redis_keys import DEAD, EXITS, FIELD, NOTICES

BEGINNING = "0-0"
"""The position before the first entry."""

_PAGE = 500
_BLOCK_S = 1.0
_LAST = 10
_SHORT_NAMES = {"exits": EXITS, "notices": NOTICES, "dead": DEAD}


@dataclass(frozen=True, slots=True)
class TailedEntry:
    """An entry of a stream, unchanged."""

    stream: str
    id: str
    fields: Mapping[str, bytes]

    @property
    def payload(self) -> bytes:
        """The event as bytes; empty if the entry has no field `event`."""
        return self.fields.get(FIELD, b"")

    @property
    def event(self) -> dict[str, Any]:
        """The event, decoded. Raises ValueError if it is not an event, as in a dead letter."""
        return decode(self.payload)


class StreamCursor:
    """A position in each of several streams, which moves forward as entries are read."""

    def __init__(self, redis: str | Connection, positions: Mapping[str, str] | None = None) -> None:
        """`redis`: a URL, or a `redis.asyncio.Redis` whose settings are copied. `positions`: by
        stream key, the id of the entry after which to read. Does not connect."""
        self._redis = own_connection(redis)
        self._positions = dict(positions or {})

    def move(self, stream: str, position: str) -> None:
        """Read this stream, from the entry after `position` on."""
        self._positions[stream] = position

    def leave(self, stream: str) -> None:
        """Stop reading this stream."""
        self._positions.pop(stream, None)

    async def move_to_end(self, *streams: str, last: int = 0) -> None:
        """Read these streams from their end, or from their `last` entries. Raises
        ServiceUnavailable."""
        for stream in streams:
            async with self._errors(), asyncio.timeout(TIMEOUT_S):
                # One more than `last`, because the position precedes the entries to read.
                newest = await self._redis.xrevrange(stream, count=last + 1)
            self.move(stream, newest[-1][0].decode() if len(newest) > last else BEGINNING)

    async def read(self, *, limit: int = _PAGE, wait_s: float = 0.0) -> list[TailedEntry]:
        """The next entries, at most `limit` of each stream, in the order of each stream. Empty if
        there are none within `wait_s`. Raises ServiceUnavailable if Redis does not answer."""
        block = round(wait_s * 1_000) or None
        async with self._errors(), asyncio.timeout(TIMEOUT_S + wait_s):
            reply = await self._redis.xread(dict(self._positions), count=limit, block=block)
        entries = []
        for key, page in reply or []:
            stream = key.decode()
            self.move(stream, page[-1][0].decode())
            entries += [_entry(stream, entry_id, fields) for entry_id, fields in page]
        return entries

    async def aclose(self) -> None:
        """Disconnect."""
        await self._redis.aclose()

    @asynccontextmanager
    async def _errors(self) -> AsyncIterator[None]:
        try:
            yield
        except (RedisError, OSError) as error:
            raise unavailable(self._redis, error) from error


def _entry(stream: str, entry_id: bytes, fields: Mapping[bytes, bytes]) -> TailedEntry:
    return TailedEntry(
        stream, entry_id.decode(), {name.decode(): value for name, value in fields.items()}
    )


async def tail(
    redis: str | Connection,
    stream: str,
    *,
    from_start: bool = False,
    follow: bool = True,
    count: int | None = None,
) -> AsyncGenerator[TailedEntry, None]:
    """Yield the entries of `exits`, `notices`, `dead`, or a stream named by its key, in order.

    Starts with the oldest entry if `from_start`. Otherwise yields entries added from now on or,
    without `follow`, the last `count` (default 10). Ends after `count` entries and, without
    `follow`, at the end of the stream. Raises ServiceUnavailable if Redis does not answer; call
    it again to continue.
    """
    key = _SHORT_NAMES.get(stream, stream)
    cursor = StreamCursor(redis, {key: BEGINNING})
    try:
        if not from_start:
            last = 0 if follow else _LAST if count is None else count
            await cursor.move_to_end(key, last=last)
        remaining = count
        while remaining is None or remaining > 0:
            limit = _PAGE if remaining is None else min(_PAGE, remaining)
            page = await cursor.read(limit=limit, wait_s=_BLOCK_S if follow else 0.0)
            for entry in page:
                yield entry
            if remaining is not None:
                remaining -= len(page)
            if not page and not follow:
                return
    finally:
        await cursor.aclose()
