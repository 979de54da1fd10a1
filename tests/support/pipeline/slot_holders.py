"""Successive holders of the slots over real servers. Each commits and publishes exits as a shard
does, without events and without Ray."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from redis.exceptions import RedisError
from tests.support.pipeline.changes import NOON, Effect, change

from goald.adapters.clock import SystemClock
from goald.adapters.postgres import PostgresShardStore
from goald.adapters.postgres.shard.commit import CommitOptions
from goald.adapters.redis import RedisOutbound
from goald.domain.errors import CommitUnknown
from goald.domain.leases import SlotLease
from goald.domain.slots import SlotRange
from goald.metrics.pipeline import ShardMetrics
from goald.pipeline.context import PipelineContext
from goald.pipeline.outbox.publish import OutboxPublisher
from goald.redis_keys import EXITS

ALL = SlotRange(0, 255)
DEADLINE_SECONDS = 60


@dataclass
class SlotHolder:
    """The holder of all slots, running."""

    store: PostgresShardStore
    lease: SlotLease
    publisher: OutboxPublisher
    registry: CollectorRegistry
    running: "asyncio.Task[None]"

    async def commit(self, *enrollments: str) -> None:
        """Commit the exits of these enrollments and publish them. Retries while Postgres is
        unavailable."""
        effects = [
            Effect(
                name,
                contact_id=f"contact-{name}",
                status="completed_goal",
                ended_at=NOON,
                messages=[json.dumps({"id": f"exit-{name}", "data": {}})],
            )
            for name in enrollments
        ]
        while True:
            try:
                committed = await self.store.commit(self.lease, change(*effects))
                break
            except CommitUnknown:
                await asyncio.sleep(0.05)
        self.publisher.expect(committed.outbox)
        await self.publisher.publish(committed.outbox)

    async def acknowledge(self, *enrollments: str) -> None:
        """Acknowledge these exits, as a workflow engine does."""
        acknowledgements = [
            ("acme", name, f"contact-{name}", "w-1", 3, 0, NOON) for name in enrollments
        ]
        await self.store.commit(self.lease, change(acknowledgements=acknowledgements))

    def counted(self, name: str) -> float:
        return self.registry.get_sample_value(name) or 0.0


@asynccontextmanager
async def slot_holder(
    redis_url: str, dsn: str, *, keep: float = 600, exit_retry: float | None = None
) -> AsyncIterator[SlotHolder]:
    """Run a holder until the end of the `with` block, then kill it."""
    clock = SystemClock()
    registry = CollectorRegistry()
    store = PostgresShardStore(dsn, options=CommitOptions(exit_retry is not None))
    outbound = RedisOutbound(redis_url, clock)
    lease = await store.acquire(ALL, "a test")
    publisher = OutboxPublisher(
        PipelineContext.create(clock, ShardMetrics(registry)), store.outbox, outbound, lease,
        keep_seconds=keep, exit_retry=exit_retry,
    )  # fmt: skip
    await publisher.recognise()
    await publisher.publish_backlog()
    running = asyncio.ensure_future(publisher.run())
    try:
        yield SlotHolder(store, lease, publisher, registry, running)
    finally:
        running.cancel()
        await asyncio.wait({running})
        await outbound.close()
        await store.close()


async def exits(redis_url: str) -> list[str]:
    """Return the ids of the exits in Redis, in order, repeats included."""
    client: Any = Redis.from_url(redis_url)
    async with client:
        return [json.loads(fields[b"event"])["id"] for _, fields in await client.xrange(EXITS)]


async def until(condition: Callable[[], Any], seconds: float = DEADLINE_SECONDS) -> None:
    """Wait for a condition, which may be a coroutine. Redis may be unavailable meanwhile."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                found = condition()
                if await found if asyncio.iscoroutine(found) else found:
                    return
            except RedisError:
                pass
            await asyncio.sleep(0.02)
