"""Past entries of the event streams in Redis."""

from collections.abc import AsyncIterator, Sequence
from typing import Final

from goald.adapters.redis.events.entry_ids import order
from goald.domain.streams import DEFAULT_STREAMS
from goald.ports.event_stream import RawEntry
from goald.redis_keys import GROUP, STREAM_COUNT, event_stream
from goald.redis_wire import Wire, checked

PAGE_ENTRIES: Final = 1_000


class RedisEventHistory:
    """`ports.EventHistory` over Redis. Bound to one event loop."""

    def __init__(self, url: str, *, timeout: float = 10.0) -> None:
        """`timeout`: seconds for a call. Does not connect."""
        self._wire = Wire(url, timeout=timeout)

    async def since(
        self, slot: int, from_ms: int, unread_bytes: int
    ) -> AsyncIterator[Sequence[RawEntry]]:
        (count,) = await self._wire.ask(("GET", STREAM_COUNT))
        stream = event_stream(slot % int(checked(count) or DEFAULT_STREAMS))
        acknowledged = await self._acknowledged(stream)
        start, unread = b"%d-0" % from_ms, 0
        while unread <= unread_bytes:
            command = ("XRANGE", stream, start, "+", "COUNT", PAGE_ENTRIES)
            (reply,) = await self._wire.ask(command)
            page: list[RawEntry] = checked(reply)
            if page:
                yield page
                start = b"(" + page[-1][0]
            if len(page) < PAGE_ENTRIES:
                break
            beyond = (each for each in page if order(each[0]) > order(acknowledged))
            unread += sum(len(value) for _, fields in beyond for value in fields)

    async def _acknowledged(self, stream: str) -> bytes:
        (reply,) = await self._wire.ask(("XINFO", "GROUPS", stream))
        if isinstance(reply, Exception):
            return b"0-0"
        for group in checked(reply):
            fields = dict(zip(group[::2], group[1::2], strict=True))
            if fields[b"name"] == GROUP.encode():
                position: bytes = fields[b"last-delivered-id"]
                return position
        return b"0-0"

    async def close(self) -> None:
        await self._wire.close()
