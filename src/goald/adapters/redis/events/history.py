"""Past entries of the event streams in Redis."""

from collections.abc import Sequence
from typing import Any

from goald.adapters.redis.events.entry_ids import order
from goald.domain.errors import ServiceUnavailable
from goald.domain.streams import DEFAULT_STREAMS
from goald.ports.event_stream import RawEntry
from goald.redis_keys import GROUP, STREAM_COUNT, event_stream
from goald.redis_wire import Wire

START = b"0-0"


class RedisEventHistory:
    """`ports.EventHistory` over Redis. Bound to one event loop."""

    def __init__(self, url: str, *, timeout: float = 10.0) -> None:
        """`timeout`: seconds for a call. Does not connect."""
        self._wire = Wire(url, timeout=timeout)

    async def stream_of(self, slot: int) -> str:
        count = await self._ask("GET", STREAM_COUNT)
        return event_stream(slot % int(count or DEFAULT_STREAMS))

    async def acknowledged(self, stream: str) -> bytes:
        if not await self._ask("EXISTS", stream):
            return START
        for group in await self._ask("XINFO", "GROUPS", stream):
            fields = dict(zip(group[::2], group[1::2], strict=True))
            if fields[b"name"] == GROUP.encode():
                position: bytes = fields[b"last-delivered-id"]
                return position
        return START

    async def read(self, stream: str, after: bytes, count: int) -> Sequence[RawEntry]:
        command = ("XRANGE", stream, b"(" + after, "+", "COUNT", count)
        entries: Sequence[RawEntry] = await self._ask(*command)
        return entries

    async def removed(self, stream: str) -> bytes:
        if not await self._ask("EXISTS", stream):
            return START
        info = await self._ask("XINFO", "STREAM", stream)
        fields = dict(zip(info[::2], info[1::2], strict=True))
        removed: bytes = fields.get(b"max-deleted-entry-id", START)
        first = fields[b"first-entry"]
        # Entries between others may be deleted, too.
        return removed if first is None else min(removed, first[0], key=order)

    async def _ask(self, *command: str | bytes | int) -> Any:
        """The reply. Any error is one to wait for: the history is complete, or is not read."""
        (reply,) = await self._wire.ask(command)
        if isinstance(reply, Exception):
            raise ServiceUnavailable(f"Redis refuses {command[0]!s}: {reply}") from reply
        return reply

    async def close(self) -> None:
        await self._wire.close()
