"""A change of the configuration reaches shards over a real Redis and Postgres, told or not."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis
from tests.support.services import Database

from goald.adapters.postgres import PostgresShardStore
from goald.adapters.redis_streams import RedisControlStream, RedisOutbound
from goald.configuration.file import parse_configuration
from goald.configuration.service import Applied
from goald.domain.slots import split_slots
from goald.domain.streams import CONTROL
from goald.runtime.shard import ShardProcess, ShardSettings
from goald.runtime.wiring import Endpoints, configuration_service, open_board, system_clock

NEVER = 3_600.0
DEADLINE_S = 30.0
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
    """Two shards that are ready. `control_url`: another Redis, from which they hear nothing."""
    clock = system_clock()
    made = [
        ShardProcess(
            ShardSettings(index, slots, 0.0, 600.0, 1 << 20, reconcile),
            store=PostgresShardStore(endpoints.postgres_dsn),
            outbound=RedisOutbound(endpoints.redis_url, clock),
            control=RedisControlStream(control_url or endpoints.redis_url),
            board=open_board(endpoints),
            clock=clock,
        )
        for index, slots in enumerate(split_slots(2))
    ]
    running = [asyncio.ensure_future(shard.run()) for shard in made]
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not all(shard.ready for shard in made):
                await asyncio.sleep(0.01)
        yield made
    finally:
        for shard in made:
            shard.stop()
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.gather(*running)


@pytest.fixture
async def apply(
    redis_url: str, database: Database
) -> AsyncIterator[Callable[[str], Awaitable[Applied]]]:
    service = configuration_service(database.dsn, redis_url)

    async def apply(tag: str) -> Applied:
        return await service.apply(parse_configuration(FILE.format(tag=tag)))

    yield apply
    await service.close()


@pytest.fixture
def where(redis_url: str, database: Database) -> Endpoints:
    return Endpoints(redis_url, database.dsn)


async def test_every_shard_has_a_change_when_it_is_answered(
    where: Endpoints, apply: Callable[[str], Awaitable[Applied]]
) -> None:
    async with shards(where, NEVER):
        for tag in ("Customer", "Prospect", "Lead"):
            applied = await apply(tag)
            assert applied.everywhere
            assert applied.holders is not None
            assert applied.holders.live == 2


async def test_a_change_that_shards_were_not_told_of_is_found(
    where: Endpoints, apply: Callable[[str], Awaitable[Applied]], redis_62_url: str
) -> None:
    async with shards(where, 0.2, redis_62_url):
        assert (await apply("Customer")).everywhere
    async with shards(where, NEVER, redis_62_url):
        assert not (await apply("Prospect")).everywhere


async def test_messages_that_are_deleted_are_not_missed(
    where: Endpoints, apply: Callable[[str], Awaitable[Applied]]
) -> None:
    """As trimming does, or somebody who tidies up: the next message tells of all before."""
    async with shards(where, NEVER), Redis.from_url(where.redis_url) as client:
        await apply("Customer")
        await client.delete(CONTROL)
        assert (await apply("Prospect")).everywhere
