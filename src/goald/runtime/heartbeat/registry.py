"""The board in Redis where heartbeats are left, and the readings of a whole instance."""

from datetime import UTC, datetime

from goald.adapters.redis.admin import lag, stream_count
from goald.adapters.redis.connect import connect, service_errors
from goald.domain.streams import DEAD, DEAD_DROPPED, PROCESSES, STREAM_COUNT
from goald.runtime.heartbeat.heartbeats import Heartbeat, parse
from goald.runtime.heartbeat.rates import Readings


class RedisProcessRegistry:
    """`Board` over the hash `goald:processes`. Connects when first used. Bound to one loop."""

    def __init__(self, url: str) -> None:
        self._client = connect(url)

    async def write(self, heartbeat: Heartbeat) -> None:
        async with service_errors():
            await self._client.hset(PROCESSES, heartbeat.field, heartbeat.to_json())

    async def remove(self, role: str, index: int) -> None:
        async with service_errors():
            await self._client.hdel(PROCESSES, f"{role}:{index}")

    async def settle_streams(self, wanted: int | None) -> int:
        """How many event streams there are: what Redis holds, else `wanted` or the default,
        which it then holds. Raises StreamCountMismatch where it holds another than `wanted`."""
        held = await stream_count(self._client, wanted)
        return await stream_count(self._client, held)

    async def streams(self) -> int | None:
        """How many event streams Redis holds; None where it holds no number."""
        async with service_errors():
            held = await self._client.get(STREAM_COUNT)
        return None if held is None else int(held)

    async def readings(self) -> Readings:
        """Every heartbeat, the lag of each stream, and how many dead letters there are, and were
        thrown away for want of room."""
        async with service_errors():
            held = await self._client.hgetall(PROCESSES)
            dead = await self._client.xlen(DEAD)
            dropped = await self._client.get(DEAD_DROPPED)
        return Readings(
            at=datetime.now(UTC),
            heartbeats=parse(held.values()),
            lag=await lag(self._client),
            dead=dead,
            dead_dropped=int(dropped or 0),
        )

    async def close(self) -> None:
        await self._client.aclose()
