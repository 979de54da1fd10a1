"""Configuration changes reach shards over a real Redis and Postgres, notified or not."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis
from tests.support.services.servers import Database

from goald.adapters.postgres import PostgresConfigurationStore, PostgresShardStore, TenantPool
from goald.adapters.redis import RedisControlStream, RedisOutbound
from goald.adapters.redis.throttle import RedisTenantThrottle
from goald.configuration.file import parse_configuration
from goald.configuration.service import ApplyResult
from goald.domain.configuration.workflows import RolloutStatus
from goald.domain.slots import split_slots
from goald.redis_keys import CONTROL
from goald.runtime.processes.shard import ShardPorts, ShardProcess, ShardSettings
from goald.runtime.wiring.daemon import (
    Endpoints,
    configuration_service,
    process_registry,
    system_clock,
)

NEVER = 3_600.0
DEADLINE_S = 30.0
SOON_S = 20.0
"""Less than the interval of the shards' own check for changes (RECONCILE_SECONDS)."""
FILE = """\
tenant: acme
workflows:
  - id: w
    active: true
    goals:
      - {{goal_type: tag_added, criteria: {{tag_name: {tag}}}}}
"""


@asynccontextmanager
async def shards(
    endpoints: Endpoints, reconcile: float, control_url: str | None = None
) -> AsyncIterator[list[ShardProcess]]:
    """Yields two ready shards. `control_url`: another Redis, from which they get no control
    messages."""
    clock = system_clock()
    shards = [
        ShardProcess(
            ShardSettings(
                index=index,
                slots=slots,
                clock_skew=0.0,
                republish=600.0,
                group_bytes=1 << 20,
                reconcile=reconcile,
            ),
            ShardPorts(
                store=PostgresShardStore(endpoints.postgres_dsn),
                outbound=RedisOutbound(endpoints.redis_url, clock),
                control=RedisControlStream(control_url or endpoints.redis_url),
                throttle=RedisTenantThrottle(endpoints.redis_url),
                processes=process_registry(endpoints),
                clock=clock,
            ),
        )
        for index, slots in enumerate(split_slots(2))
    ]
    running = [asyncio.ensure_future(shard.run()) for shard in shards]
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not all(shard.ready for shard in shards):
                await asyncio.sleep(0.01)
        yield shards
    finally:
        for shard in shards:
            shard.stop()
        _, late = await asyncio.wait(running, timeout=DEADLINE_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*running)


@pytest.fixture
async def apply(
    redis_url: str, database: Database
) -> AsyncIterator[Callable[[str], Awaitable[ApplyResult]]]:
    service = configuration_service(database.dsn, redis_url)

    async def apply(tag: str) -> ApplyResult:
        return await service.apply(parse_configuration(FILE.format(tag=tag)))

    yield apply
    await service.close()


@pytest.fixture
def where(redis_url: str, database: Database) -> Endpoints:
    return Endpoints(redis_url, database.dsn)


@pytest.fixture
async def is_everywhere(
    database: Database,
) -> AsyncIterator[Callable[[ApplyResult], Awaitable[None]]]:
    """Waits until all shards have loaded a change. A response may arrive earlier on a busy machine
    (E10)."""
    kept = PostgresConfigurationStore(TenantPool(database.dsn, 2))

    async def is_everywhere(applied: ApplyResult) -> None:
        assert applied.version is not None, "nothing was changed"
        async with asyncio.timeout(SOON_S):
            while await kept.rollout(applied.version) != RolloutStatus(ready=2, live=2):
                await asyncio.sleep(0.05)

    yield is_everywhere
    await kept.close()


async def test_every_shard_has_a_change_when_the_response_arrives(
    where: Endpoints, apply: Callable[[str], Awaitable[ApplyResult]]
) -> None:
    """Shards are notified. A response that did not wait for all of them reports the others."""
    tags = (f"Customer of week {week}" for week in itertools.count())
    answered = 0
    async with shards(where, NEVER), asyncio.timeout(SOON_S):
        while answered < 3:
            applied = await apply(next(tags))
            assert applied.rollout is not None
            assert applied.rollout.live == 2
            assert applied.is_rolled_out == (applied.rollout.ready == 2)
            answered += applied.is_rolled_out


async def test_a_change_without_a_notification_is_found(
    where: Endpoints,
    apply: Callable[[str], Awaitable[ApplyResult]],
    is_everywhere: Callable[[ApplyResult], Awaitable[None]],
    redis_62_url: str,
) -> None:
    async with shards(where, 0.2, redis_62_url):
        await is_everywhere(await apply("Customer"))
    async with shards(where, NEVER, redis_62_url):
        assert not (await apply("Prospect")).is_rolled_out


async def test_deleted_control_messages_do_not_hide_a_change(
    where: Endpoints,
    apply: Callable[[str], Awaitable[ApplyResult]],
    is_everywhere: Callable[[ApplyResult], Awaitable[None]],
) -> None:
    """Trimming or an operator may delete messages. The next message covers the earlier ones."""
    async with shards(where, NEVER), Redis.from_url(where.redis_url) as client:
        await apply("Customer")
        await client.delete(CONTROL)
        await is_everywhere(await apply("Prospect"))
