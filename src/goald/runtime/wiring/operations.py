"""The adapters behind the services of `goald.operations`.

Every context manager connects on first use and disconnects at its end. Modules that only some
commands need are imported by the functions that need them, so that each command starts fast.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

from goald.adapters.redis.connect import Client, connect
from goald.adapters.redis.stream_admin import RedisStreamAdmin

if TYPE_CHECKING:
    from goald.api.ports import ContactStore, ExecutionRecords
    from goald.client import TailedEntry
    from goald.domain.audit.log import LogChunk
    from goald.operations.dead_letters import DeadLetterService
    from goald.operations.executions import RequestSender
    from goald.operations.replay.event_file import BadLine
    from goald.operations.replay.replay import Replay, ReplayProgress
    from goald.operations.send import EventSender
    from goald.operations.status import Status
    from goald.operations.stream_count import StreamCount

REPLAY_PATIENCE_S = 30.0
"""How long Redis may be unreachable before a replay ends."""


@asynccontextmanager
async def dead_letters(redis_url: str) -> AsyncIterator["DeadLetterService"]:
    """Yields the service that lists, replays and purges the dead letters in this Redis."""
    from goald.adapters.redis.dead_letters.store import RedisDeadLetterStore
    from goald.operations.dead_letters import DeadLetterService

    async with _client(redis_url) as client:
        yield DeadLetterService(RedisDeadLetterStore(client))


@asynccontextmanager
async def contacts(dsn: str) -> AsyncIterator["ContactStore"]:
    """Yields the projection of contacts in this Postgres."""
    from goald.adapters.postgres.records.projection import PostgresContactStore
    from goald.adapters.postgres.tenants import TenantPool

    pool = TenantPool(dsn, 1)
    try:
        yield PostgresContactStore(pool)
    finally:
        await pool.close()


@asynccontextmanager
async def executions(dsn: str) -> AsyncIterator["ExecutionRecords"]:
    """Yields the executions of workflows in this Postgres."""
    from goald.adapters.postgres.records.executions.reader import PostgresExecutionRecords
    from goald.adapters.postgres.tenants import TenantPool

    pool = TenantPool(dsn, 1)
    try:
        yield PostgresExecutionRecords(pool)
    finally:
        await pool.close()


def execution_requests(redis_url: str, records: "ExecutionRecords") -> "RequestSender":
    """The service that sends requests about executions to this Redis. It sends one request."""
    from goald.client import Publisher
    from goald.operations.executions import RequestSender

    return RequestSender(Publisher(redis_url), records)


@asynccontextmanager
async def stream_count(redis_url: str) -> AsyncIterator["StreamCount"]:
    """Yields the service that reads and changes the number of event streams in this Redis."""
    from goald.operations.stream_count import StreamCount

    async with _client(redis_url) as client:
        yield StreamCount(RedisStreamAdmin(client))


@asynccontextmanager
async def event_sender(redis_url: str, event: Mapping[str, Any]) -> AsyncIterator["EventSender"]:
    """Yields the service that sends this event and finds its effect."""
    from goald.client import Publisher
    from goald.client.tail import StreamCursor
    from goald.operations.effect import EventEffect
    from goald.operations.send import EventSender

    async with (
        _client(redis_url) as client,
        aclosing(StreamCursor(redis_url)) as event_stream,
        aclosing(StreamCursor(redis_url)) as outbound,
    ):
        admin = RedisStreamAdmin(client)
        effect = EventEffect(event, admin, event_stream, outbound)
        yield EventSender(Publisher(redis_url), admin, effect)


@asynccontextmanager
async def replay(
    redis_url: str,
    progress: "ReplayProgress",
    *,
    rate: float | None,
    on_bad_line: Callable[["BadLine"], None],
    on_progress: Callable[[int, int], None],
) -> AsyncIterator["Replay"]:
    """Yields a replay that sends the events of a file to this Redis; see
    `goald.operations.replay.replay.Replay`."""
    from goald.client import Publisher
    from goald.operations.replay.replay import Replay

    async with _client(redis_url) as client:
        yield Replay(
            Publisher(redis_url, patience_s=REPLAY_PATIENCE_S),
            RedisStreamAdmin(client),
            progress,
            rate=rate,
            on_bad_line=on_bad_line,
            on_progress=on_progress,
        )


async def follow(
    redis_url: str, stream: str, *, from_start: bool
) -> AsyncGenerator["TailedEntry", None]:
    """Yields the entries of a stream as they arrive; see `goald.client.tail`."""
    from goald.client import tail

    async with aclosing(tail(redis_url, stream, from_start=from_start)) as entries:
        async for entry in entries:
            yield entry


async def status(redis_url: str) -> "Status":
    """Return the state of the goald that uses this Redis. Raises ServiceUnavailable."""
    from goald.adapters.redis.events.levels import RedisStreamLevels
    from goald.adapters.redis.process_registry import RedisProcessRegistry
    from goald.operations.status import read_status
    from goald.runtime.heartbeat.readiness import not_ready_reasons

    registry = RedisProcessRegistry(redis_url)
    levels = RedisStreamLevels(redis_url)
    try:
        async with _client(redis_url) as client:
            return await read_status(
                registry,
                RedisStreamAdmin(client),
                levels,
                lambda readings: not_ready_reasons(readings.heartbeats, readings.at),
            )
    finally:
        await levels.close()
        await registry.close()


def audit_log(postgres_dsn: str) -> Iterator["LogChunk"]:
    """Return an iterator over the whole audit log, for its verification. Each step blocks on
    Postgres."""
    from goald.adapters.postgres.records.audit_verification import read_chunks

    return read_chunks(postgres_dsn)


@asynccontextmanager
async def _client(redis_url: str) -> AsyncIterator[Client]:
    client = connect(redis_url)
    try:
        yield client
    finally:
        await client.aclose()
