"""The backends of the stream ports behind one interface, so that one suite tests them all."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from redis.asyncio import Redis

from goald.adapters.memory.clock import ManualClock
from goald.adapters.memory.streams import (
    MemoryControlStream,
    MemoryEventHistory,
    MemoryEventStream,
    MemoryOutbound,
    MemoryStreams,
)
from goald.adapters.memory.throttle import MemoryTenantThrottle
from goald.adapters.redis import (
    RedisControlStream,
    RedisEventHistory,
    RedisEventStream,
    RedisOutbound,
)
from goald.adapters.redis.throttle import RedisTenantThrottle
from goald.ports.clock import Clock
from goald.ports.control.stream import ControlStream
from goald.ports.control.throttle import TenantThrottle
from goald.ports.event_history import EventHistory
from goald.ports.event_stream import EventStream
from goald.ports.outbound import Outbound
from goald.redis_keys import GROUP, event_stream


class Backend(Protocol):
    """Operations outside the port, as a producer or an administrator performs them."""

    def event_stream(self, name: str) -> EventStream: ...
    def outbound(self, *, dead_max_bytes: int = 256 << 20) -> Outbound: ...
    def control(self) -> ControlStream: ...
    def history(self) -> EventHistory: ...
    def throttle(self) -> TenantThrottle: ...
    async def pass_time(self, seconds: float) -> None:
        """Return when the server's clock is this much later."""

    async def add(self, stream: str, events: Sequence[bytes]) -> list[bytes]: ...
    async def entries(self, stream: str) -> list[tuple[bytes, dict[bytes, bytes]]]: ...
    async def unacknowledged(self, stream: str) -> int: ...
    async def delete(self, stream: str, entry_id: bytes) -> None: ...
    async def drop_group(self, stream: str) -> None: ...
    async def move_group(self, stream: str, to: bytes) -> None: ...
    async def remove(self, stream: str) -> None: ...
    async def break_stream(self, stream: str) -> None:
        """Make commands on the stream fail."""

    async def flush(self) -> None: ...
    def countable(self, entries: int) -> int:
        """The number of missing entries that this server can count if further entries were
        added after them."""

    async def close(self) -> None: ...


class MemoryBackend:
    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.streams = MemoryStreams(clock)
        self._throttle: MemoryTenantThrottle | None = None

    def event_stream(self, name: str) -> EventStream:
        return MemoryEventStream(self.streams, name)

    def outbound(self, *, dead_max_bytes: int = 256 << 20) -> Outbound:
        return MemoryOutbound(self.streams, dead_max_bytes=dead_max_bytes)

    def control(self) -> ControlStream:
        return MemoryControlStream(self.streams)

    def history(self) -> EventHistory:
        return MemoryEventHistory(self.streams, [event_stream(0)])

    def throttle(self) -> TenantThrottle:
        self._throttle = self._throttle or MemoryTenantThrottle(self.streams.clock)
        return self._throttle

    async def pass_time(self, seconds: float) -> None:
        await self._clock.advance(seconds)

    async def add(self, stream: str, events: Sequence[bytes]) -> list[bytes]:
        return [await self.streams.add(stream, [b"event", event]) for event in events]

    async def entries(self, stream: str) -> list[tuple[bytes, dict[bytes, bytes]]]:
        return [
            (entry_id, dict(zip(flat[::2], flat[1::2], strict=True)))
            for entry_id, flat in self.streams.entries(stream)
        ]

    async def unacknowledged(self, stream: str) -> int:
        return self.streams.unacknowledged(stream)

    async def delete(self, stream: str, entry_id: bytes) -> None:
        self.streams.delete(stream, entry_id)

    async def drop_group(self, stream: str) -> None:
        self.streams.drop_group(stream)

    async def move_group(self, stream: str, to: bytes) -> None:
        milliseconds, _, sequence = to.partition(b"-")
        self.streams.stream(stream).acknowledged = (int(milliseconds), int(sequence))

    async def remove(self, stream: str) -> None:
        self.streams.remove(stream)

    async def break_stream(self, stream: str) -> None:
        self.streams.available = False

    async def flush(self) -> None:
        self.streams.flush()

    def countable(self, entries: int) -> int:
        return entries

    async def close(self) -> None:
        pass


class RedisBackend:
    def __init__(self, url: str, clock: Clock, *, counts: bool) -> None:
        """`counts`: whether this server reports how many entries were ever added."""
        self._url = url
        self._counts = counts
        self._clock = clock
        self.client: Any = Redis.from_url(url, protocol=2)
        self._opened: list[Callable[[], Awaitable[None]]] = []

    def event_stream(self, name: str) -> EventStream:
        stream = RedisEventStream(self._url, name)
        self._opened.append(stream.close)
        return stream

    def outbound(self, *, dead_max_bytes: int = 256 << 20) -> Outbound:
        outbound = RedisOutbound(self._url, self._clock, dead_max_bytes=dead_max_bytes)
        self._opened.append(outbound.close)
        return outbound

    def control(self) -> ControlStream:
        control = RedisControlStream(self._url)
        self._opened.append(control.close)
        return control

    def history(self) -> EventHistory:
        history = RedisEventHistory(self._url)
        self._opened.append(history.close)
        return history

    def throttle(self) -> TenantThrottle:
        throttle = RedisTenantThrottle(self._url)
        self._opened.append(throttle.close)
        return throttle

    async def pass_time(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def add(self, stream: str, events: Sequence[bytes]) -> list[bytes]:
        async with self.client.pipeline(transaction=False) as pipe:
            for event in events:
                pipe.xadd(stream, {"event": event})
            return list(await pipe.execute())

    async def entries(self, stream: str) -> list[tuple[bytes, dict[bytes, bytes]]]:
        return list(await self.client.xrange(stream))

    async def unacknowledged(self, stream: str) -> int:
        (group,) = await self.client.xinfo_groups(stream)
        assert group["name"] == GROUP.encode()
        after = b"(" + group["last-delivered-id"]
        return int(group["pending"]) + len(await self.client.xrange(stream, min=after))

    async def delete(self, stream: str, entry_id: bytes) -> None:
        await self.client.xdel(stream, entry_id)

    async def drop_group(self, stream: str) -> None:
        await self.client.xgroup_destroy(stream, GROUP)

    async def move_group(self, stream: str, to: bytes) -> None:
        await self.client.xgroup_setid(stream, GROUP, to)

    async def remove(self, stream: str) -> None:
        await self.client.delete(stream)

    async def break_stream(self, stream: str) -> None:
        await self.client.set(stream, "no stream")

    async def flush(self) -> None:
        await self.client.flushall()

    def countable(self, entries: int) -> int:
        return entries if self._counts else 0

    async def close(self) -> None:
        for close in self._opened:
            await close()
        await self.client.aclose()
