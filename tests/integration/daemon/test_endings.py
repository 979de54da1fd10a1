"""A process leaves no connection open, however it ends."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import psycopg
import pytest
import redis as blocking
from tests.support.services.servers import Database

from goald.adapters.postgres import PostgresShardStore, PostgresStreamLeases
from goald.domain.errors import LeaseLost
from goald.domain.slots import SlotRange
from goald.redis_keys import event_stream
from goald.runtime.processes.consumer import ConsumerProcess, ConsumerSettings
from goald.runtime.processes.shard import ShardProcess, ShardSettings
from goald.runtime.wiring.daemon import Endpoints, consumer_process, shard_process
from goald.settings import DispatchSettings, ReadSettings

DEADLINE_S = 30.0
ALL = SlotRange(0, 255)
STREAM = event_stream(0)
WAYS = ("stopped", "cancelled", "replaced")


@pytest.fixture
def connections(redis_url: str, database: Database) -> Iterator[Callable[[], tuple[int, int]]]:
    """Counts the connections to Redis and to this test's database, without the test's own."""
    with (
        blocking.Redis.from_url(redis_url) as client,
        psycopg.connect(database.admin_dsn, autocommit=True) as admin,
    ):

        def count() -> tuple[int, int]:
            row = admin.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ).fetchone()
            assert row is not None
            return len(client.client_list()) - 1, row[0]

        yield count


async def run_and_end(
    process: ShardProcess | ConsumerProcess, way: str, replace: Callable[[], Awaitable[object]]
) -> None:
    """Run the process until it is ready, and end it in this way."""
    running = asyncio.ensure_future(process.run())
    async with asyncio.timeout(DEADLINE_S):
        while not process.ready:
            assert not running.done(), running
            await asyncio.sleep(0.01)
        if way == "stopped":
            process.stop()
        elif way == "cancelled":
            running.cancel()
        else:
            await replace()
        await asyncio.wait({running})
    if way == "cancelled":
        assert running.cancelled()
    else:
        error = running.exception()
        assert (error is not None) == (way == "replaced")
        if isinstance(error, BaseExceptionGroup):
            assert error.subgroup(LeaseLost) is not None


async def wait_until_closed(
    connections: Callable[[], tuple[int, int]], before: tuple[int, int]
) -> None:
    """Servers notice a closed connection with a delay."""
    async with asyncio.timeout(DEADLINE_S):
        while connections() != before:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("way", WAYS)
async def test_a_shard_leaves_no_connection_however_it_ends(
    redis_url: str, database: Database, connections: Callable[[], tuple[int, int]], way: str
) -> None:
    before = connections()
    shard = shard_process(
        ShardSettings(index=0, slots=ALL, clock_skew=0, republish=600, group_bytes=1 << 20),
        Endpoints(redis_url, database.dsn),
    )
    other = PostgresShardStore(database.dsn)
    await run_and_end(shard, way, lambda: other.acquire(ALL, "another"))
    await other.close()
    await wait_until_closed(connections, before)


@pytest.mark.parametrize("way", WAYS)
async def test_a_consumer_leaves_no_connection_however_it_ends(
    redis_url: str, database: Database, connections: Callable[[], tuple[int, int]], way: str
) -> None:
    before = connections()
    consumer = consumer_process(
        ConsumerSettings(
            index=0,
            streams=(STREAM,),
            ranges=(),
            read=ReadSettings(entries=100, bytes=1 << 20, in_flight_bytes=1 << 20, pause=0.01),
            dispatch=DispatchSettings(bytes=1 << 16, calls_in_flight=2),
        ),
        [],
        Endpoints(redis_url, database.dsn),
    )
    other = PostgresStreamLeases(database.dsn)
    await run_and_end(consumer, way, lambda: other.acquire(STREAM, "another"))
    await other.close()
    await wait_until_closed(connections, before)
