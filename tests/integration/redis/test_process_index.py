"""The indexes of workers outside of `goald serve`, in the process registry."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from goald.adapters.redis.process_registry import RedisProcessRegistry
from goald.ports.process_registry import Heartbeat


async def test_an_index_is_free_when_its_process_has_ended_or_was_silent_for_a_minute(
    any_redis_url: str,
) -> None:
    now = datetime.now(UTC)
    registry = RedisProcessRegistry(any_redis_url)
    try:
        assert [await registry.take_index("worker", 100) for _ in range(3)] == [100, 101, 102]
        alive = Heartbeat("worker", 101, 7, "host", now, now, True)
        await registry.write(alive)
        await registry.remove("worker", 100)
        assert await registry.take_index("worker", 100) == 100
        assert await registry.take_index("worker", 100) == 103
        await registry.write(replace(alive, at=now - timedelta(seconds=61)))
        assert await registry.take_index("worker", 100) == 101
        assert (await registry.readings()).heartbeats == []
    finally:
        await registry.close()
