"""The lag, and the other Redis queries of `status`, `doctor` and `dead`."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from goald.adapters.memory.clock import ManualClock
from goald.adapters.redis import RedisEventStream, RedisOutbound, admin, server_inspector
from goald.adapters.redis.connect import connect
from goald.adapters.redis.dead_letters.store import RedisDeadLetterStore
from goald.adapters.redis.process_registry import RedisProcessRegistry
from goald.adapters.redis.transfer_report import RedisTransferReport
from goald.domain.errors import NotFound, ServiceUnavailable, StreamCountMismatch
from goald.domain.leases import StreamLease
from goald.domain.records.transfers import PendingTransfers
from goald.ports.outbound import DeadLetter
from goald.redis_keys import GROUP

STREAM = "goald:events:0"


@pytest.fixture
async def client(any_redis_url: str) -> AsyncIterator[Any]:
    """A client of an empty server."""
    client = connect(any_redis_url)
    yield client
    await client.aclose()


@pytest.fixture
async def stream(any_redis_url: str) -> AsyncIterator[RedisEventStream]:
    """The first event stream, fenced."""
    stream = RedisEventStream(any_redis_url, STREAM)
    await stream.fence(StreamLease(STREAM, 1, "a"))
    yield stream
    await stream.close()


async def add(client: Any, count: int, name: str = STREAM) -> list[bytes]:
    async with client.pipeline(transaction=False) as pipe:
        for _ in range(count):
            pipe.xadd(name, {"event": "e"})
        return list(await pipe.execute())


async def lag_of(client: Any) -> int:
    return (await admin.lag(client))[STREAM]


async def test_a_stream_that_does_not_exist_has_no_lag(client: Any) -> None:
    assert await admin.lag(client) == {f"goald:events:{n}": 0 for n in range(4)}


async def test_a_stream_without_a_reader_lags_by_its_length(client: Any) -> None:
    await add(client, 3)
    assert await lag_of(client) == 3


async def test_lag_counts_unacknowledged_entries(client: Any, stream: RedisEventStream) -> None:
    added = await add(client, 2_500)
    assert await lag_of(client) == 2_500
    await stream.read(b"0-0", 10)
    assert await lag_of(client) == 2_500
    await stream.acknowledge(added[9], 10)
    assert await lag_of(client) == 2_490
    await stream.acknowledge(added[-1], 2_490)
    assert await lag_of(client) == 0
    await add(client, 3)
    assert await lag_of(client) == 3


async def test_lag_counts_pending_entries_of_another_reader(
    client: Any, stream: RedisEventStream
) -> None:
    await add(client, 5)
    await client.xreadgroup(GROUP, "another", {STREAM: ">"}, count=3)
    assert await lag_of(client) == 5


async def test_lag_is_exact_after_entries_are_deleted(
    client: Any, stream: RedisEventStream
) -> None:
    added = await add(client, 20)
    await stream.acknowledge(added[4], 5)
    await client.xdel(STREAM, *added[8:10])
    assert await lag_of(client) == 13
    await client.xdel(STREAM, *added[5:])
    assert await lag_of(client) == 0


async def test_lag_is_exact_after_trimming_and_a_new_fence(
    client: Any, stream: RedisEventStream
) -> None:
    added = await add(client, 20)
    await stream.acknowledge(added[9], 10)
    await client.xtrim(STREAM, minid=added[5].decode(), approximate=False)
    await stream.fence(StreamLease(STREAM, 2, "b"))
    await stream.acknowledge(added[14], 5)
    assert await lag_of(client) == 5


async def test_lag_of_all_streams_is_counted(client: Any) -> None:
    await admin.stream_count(client, 6)
    await add(client, 2, "goald:events:5")
    assert (await admin.lag(client))["goald:events:5"] == 2


async def test_the_number_of_streams_is_set_once(client: Any) -> None:
    assert await admin.stream_count(client) == 4
    assert await admin.stream_count(client, 8) == 8
    assert await admin.stream_count(client, 8) == 8
    assert await admin.stream_count(client) == 8
    with pytest.raises(StreamCountMismatch, match="holds 8"):
        await admin.stream_count(client, 4)
    assert await admin.stream_count(client) == 8


async def test_doctor_reports_missing_guarantees_of_a_server(client: Any) -> None:
    checks = {check.name: check for check in await server_inspector.check_server(client)}
    assert checks["append-only file"].ok
    assert checks["version"].ok
    assert checks["maxmemory-policy"].ok
    assert checks["role"].ok
    await client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        checks = {check.name: check for check in await server_inspector.check_server(client)}
    finally:
        await client.config_set("maxmemory-policy", "noeviction")
    assert checks["maxmemory-policy"].ok is False
    assert "noeviction" in checks["maxmemory-policy"].advice


async def test_doctor_reports_unknown_if_config_is_forbidden(
    client: Any, any_redis_url: str
) -> None:
    await client.execute_command(
        "ACL", "SETUSER", "hosted", "on", ">secret", "+@all", "-config", "~*"
    )
    path = any_redis_url.removeprefix("unix://")
    hosted = connect(f"unix://hosted:secret@{path}")
    try:
        checks = {check.name: check for check in await server_inspector.check_server(hosted)}
    finally:
        await hosted.aclose()
        await client.execute_command("ACL", "DELUSER", "hosted")
    assert checks["appendfsync"].ok is None
    assert checks["append-only file"].ok


async def test_an_unreachable_server_is_unavailable() -> None:
    client = connect("unix:///tmp/goald-no-such-socket")
    calls: list[Callable[[Any], Any]] = [
        admin.lag,
        admin.stream_count,
        server_inspector.check_server,
    ]
    for call in calls:
        with pytest.raises(ServiceUnavailable):
            await call(client)
    await client.aclose()


@pytest.fixture
async def dead_lettered(any_redis_url: str) -> None:
    """Five dead letters, of events e0 to e4."""
    outbound = RedisOutbound(any_redis_url, ManualClock())
    await outbound.dead_letter(
        [DeadLetter(STREAM, b"1-%d" % n, b"e%d" % n, f"reason {n}", n) for n in range(5)]
    )
    await outbound.close()


@pytest.mark.usefixtures("dead_lettered")
async def test_dead_letters_are_listed_page_by_page(client: Any) -> None:
    first = await RedisDeadLetterStore(client).page(3)
    second = await RedisDeadLetterStore(client).page(3, after=first[-1].id)
    assert [dead_letter.event for dead_letter in first + second] == [
        b"e0",
        b"e1",
        b"e2",
        b"e3",
        b"e4",
    ]
    newest = await RedisDeadLetterStore(client).page(1, newest_first=True)
    older = await RedisDeadLetterStore(client).page(1, newest_first=True, after=newest[0].id)
    assert [dead_letter.event for dead_letter in newest + older] == [b"e4", b"e3"]
    entry = await RedisDeadLetterStore(client).get(first[1].id)
    assert entry == first[1]
    assert (entry.stream, entry.entry_id, entry.reason, entry.delivery_attempts) == (
        STREAM,
        "1-1",
        "reason 1",
        1,
    )


@pytest.mark.usefixtures("dead_lettered")
async def test_a_replayed_dead_letter_is_in_its_stream_and_no_longer_dead(client: Any) -> None:
    dead_letter = (await RedisDeadLetterStore(client).page(50))[2]
    await RedisDeadLetterStore(client).replay(dead_letter.id)
    assert [fields[b"event"] for _, fields in await client.xrange(STREAM)] == [b"e2"]
    assert await client.xlen("goald:dead") == 4
    with pytest.raises(NotFound):
        await RedisDeadLetterStore(client).replay(dead_letter.id)
    assert await client.xlen(STREAM) == 1


@pytest.mark.parametrize("dead_letter_id", ["1-1", "no id"])
async def test_an_unknown_dead_letter_is_not_found(client: Any, dead_letter_id: str) -> None:
    with pytest.raises(NotFound):
        await RedisDeadLetterStore(client).get(dead_letter_id)


@pytest.mark.usefixtures("dead_lettered")
async def test_dead_letters_are_purged_oldest_first(client: Any) -> None:
    assert await RedisDeadLetterStore(client).purge(limit=2) == 2
    remaining = await RedisDeadLetterStore(client).page(50)
    assert [dead_letter.event for dead_letter in remaining] == [b"e2", b"e3", b"e4"]
    assert await RedisDeadLetterStore(client).purge(older_than_us=1_000) == 0
    assert await RedisDeadLetterStore(client).purge() == 3
    assert await client.xlen("goald:dead") == 0


async def test_the_state_of_merges_that_was_written_is_read(
    any_redis_url: str, client: Any
) -> None:
    registry, report = RedisProcessRegistry(any_redis_url), RedisTransferReport(any_redis_url)
    assert (await registry.readings()).transfers == PendingTransfers()
    state = PendingTransfers(3, 12.5, 2, 400.25, 1, 70.0)
    await report.write(state)
    assert (await registry.readings()).transfers == state
    await report.close()
    await registry.close()
