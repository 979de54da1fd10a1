"""Streams are trimmed only below the acknowledged position of every group (D5)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from goald.adapters.clock import SystemClock
from goald.adapters.redis import RedisEventStream
from goald.adapters.redis.events.trim import TRIM_ENTRIES, RedisTrimmer
from goald.domain.errors import ServiceUnavailable
from goald.domain.leases import StreamLease
from goald.metrics.jobs import TrimmingMetrics
from goald.redis_keys import EXITS, GROUP, NOTICES, event_stream
from goald.runtime.jobs.trimming import Trimming

STREAM = event_stream(0)
DAY = 86_400.0
NODE = 10
"""Entries per stream node in these tests. Trimming deletes whole nodes."""


@pytest.fixture
async def client(any_redis_url: str) -> AsyncIterator[Any]:
    """A client of an empty server, whose streams have small nodes."""
    async with Redis.from_url(any_redis_url) as client:
        before = await client.config_get("stream-node-max-entries")
        await client.config_set("stream-node-max-entries", NODE)
        yield client
        await client.config_set("stream-node-max-entries", str(before["stream-node-max-entries"]))


@pytest.fixture
async def trimmer(any_redis_url: str) -> AsyncIterator[RedisTrimmer]:
    trimmer = RedisTrimmer(any_redis_url)
    yield trimmer
    await trimmer.close()


async def add(client: Any, count: int, stream: str = STREAM) -> list[bytes]:
    async with client.pipeline(transaction=False) as pipe:
        for n in range(count):
            pipe.xadd(stream, {"event": f"e{n}"})
        return list(await pipe.execute())


async def remaining(client: Any, stream: str = STREAM) -> list[bytes]:
    return [entry_id for entry_id, _ in await client.xrange(stream)]


def registry_and_job(trimmer: RedisTrimmer, keep: float) -> tuple[CollectorRegistry, Trimming]:
    registry = CollectorRegistry()
    return registry, Trimming(trimmer, keep, DAY, TrimmingMetrics(registry), SystemClock())


async def test_only_entries_that_every_group_has_acknowledged_are_trimmed(
    client: Any, trimmer: RedisTrimmer
) -> None:
    ids = await add(client, 200)
    await client.xgroup_create(STREAM, GROUP, ids[149])
    await client.xgroup_create(STREAM, "warehouse", ids[79])
    assert await trimmer.trim(STREAM, 0, DAY, GROUP) > 0
    kept = await remaining(client)
    assert kept == ids[-len(kept) :]
    assert ids[80:] == kept[-120:]
    assert len(kept) <= 120 + NODE
    await client.xgroup_setid(STREAM, "warehouse", ids[199])
    await trimmer.trim(STREAM, 0, DAY, GROUP)
    kept = await remaining(client)
    assert ids[150:] == kept[-50:]
    assert len(kept) <= 50 + NODE


async def test_a_pending_entry_is_not_trimmed(client: Any, trimmer: RedisTrimmer) -> None:
    ids = await add(client, 100, EXITS)
    await client.xgroup_create(EXITS, "engine", "0")
    await client.xreadgroup("engine", "one", {EXITS: ">"}, count=90)
    await client.xack(EXITS, "engine", *ids[:30], *ids[40:90])
    await trimmer.trim(EXITS, 0, DAY, None)
    kept = await remaining(client, EXITS)
    assert ids[30:] == kept[-70:]
    assert len(kept) <= 70 + NODE
    await client.xack(EXITS, "engine", *ids[30:40])
    await trimmer.trim(EXITS, 0, DAY, None)
    assert len(await remaining(client, EXITS)) <= 11 + NODE


async def test_entries_within_the_retention_are_not_trimmed(
    client: Any, trimmer: RedisTrimmer
) -> None:
    seconds, _ = await client.time()
    old = [
        await client.xadd(STREAM, {"event": "e"}, id=f"{(seconds - 7_200) * 1_000 + n}-0")
        for n in range(50)
    ]
    young = await add(client, 50)
    await client.xgroup_create(STREAM, GROUP, young[-1])
    await trimmer.trim(STREAM, 10_000, DAY, GROUP)
    assert await remaining(client) == old + young
    await trimmer.trim(STREAM, 3_600, DAY, GROUP)
    kept = await remaining(client)
    assert kept[-50:] == young
    assert len(kept) < 50 + NODE


async def add_old(client: Any, count: int, age_s: float, stream: str = STREAM) -> list[bytes]:
    """Entries of this age, in seconds."""
    seconds, _ = await client.time()
    first = int((seconds - age_s) * 1_000)
    return [await client.xadd(stream, {"event": "e"}, id=f"{first + n}-0") for n in range(count)]


async def test_a_stream_without_a_group_keeps_exactly_the_entries_that_are_not_too_old(
    client: Any, trimmer: RedisTrimmer
) -> None:
    for stream in (EXITS, NOTICES):
        await add_old(client, 3 * NODE + 1, DAY + 60, stream)
        kept = await add_old(client, 4, DAY - 600, stream) + await add(client, 100, stream)
        while await trimmer.trim(stream, 0, DAY, None):
            pass
        assert await remaining(client, stream) == kept
    assert await trimmer.trim("goald:events:9", 0, DAY, GROUP) == 0
    assert not await client.exists("goald:events:9")


async def test_an_event_stream_that_goald_has_not_read_is_not_trimmed_at_any_age(
    client: Any, trimmer: RedisTrimmer
) -> None:
    ids = await add_old(client, 50, 9 * DAY)
    assert await trimmer.trim(STREAM, 0, DAY, GROUP) == 0
    await client.xgroup_create(STREAM, GROUP, ids[29])
    while await trimmer.trim(STREAM, 0, DAY, GROUP):
        pass
    assert await remaining(client) == ids[30:]


async def test_another_group_keeps_events_only_until_they_are_too_old(
    client: Any, trimmer: RedisTrimmer
) -> None:
    await add_old(client, 33, DAY + 60)
    kept = await add_old(client, 33, DAY - 600)
    await client.xgroup_create(STREAM, GROUP, kept[-1])
    await client.xgroup_create(STREAM, "warehouse", "0")
    while await trimmer.trim(STREAM, 0, DAY, GROUP):
        pass
    assert await remaining(client) == kept


async def test_an_exit_that_a_group_has_not_acknowledged_stays_at_any_age(
    client: Any, trimmer: RedisTrimmer
) -> None:
    ids = await add_old(client, 50, 9 * DAY, EXITS)
    await client.xgroup_create(EXITS, "engine", ids[9])
    while await trimmer.trim(EXITS, 0, DAY, None):
        pass
    assert await remaining(client, EXITS) == ids[10:]


async def test_an_idle_stream_keeps_no_acknowledged_entry_that_is_too_old(
    any_redis_url: str, client: Any, trimmer: RedisTrimmer
) -> None:
    """The event of a contact that was deleted since does not stay until the next event."""
    old = await add_old(client, 3, DAY + 60)
    (exit_id,) = await add_old(client, 1, DAY + 60, EXITS)
    await client.xgroup_create(EXITS, "engine", "0")
    await client.xreadgroup("engine", "one", {EXITS: ">"})
    await client.xack(EXITS, "engine", exit_id)
    stream = RedisEventStream(any_redis_url, STREAM)
    await stream.fence(StreamLease(STREAM, 1, "a"))
    assert len(await stream.read(b"0-0", 10)) == 3
    await stream.acknowledge(old[-1], 3)
    for name, reader in ((STREAM, GROUP), (EXITS, None)):
        while await trimmer.trim(name, 0, DAY, reader):
            pass
        assert await remaining(client, name) == []
    assert await stream.count_lost(old[-1]) == 0
    added = await add(client, 2)
    assert [entry[0] for entry in await stream.read(old[-1], 10)] == added
    await stream.close()


async def test_a_group_without_deliveries_keeps_every_entry(
    client: Any, trimmer: RedisTrimmer
) -> None:
    ids = await add(client, 100, EXITS)
    await client.xgroup_create(EXITS, "engine", ids[-1])
    await client.xgroup_create(EXITS, "late", "0")
    assert await trimmer.trim(EXITS, 0, DAY, None) == 0
    assert await remaining(client, EXITS) == ids


async def test_events_that_goald_has_not_read_stay_despite_other_groups(
    client: Any, trimmer: RedisTrimmer
) -> None:
    ids = await add(client, 100)
    await client.xgroup_create(STREAM, "warehouse", ids[-1])
    assert await trimmer.trim(STREAM, 0, DAY, GROUP) == 0
    assert await remaining(client) == ids


async def test_ids_beyond_the_precision_of_lua_are_compared(
    client: Any, trimmer: RedisTrimmer
) -> None:
    """A producer chose the ids. Converted to doubles, all ids of a millisecond would be equal."""
    first = 2**63
    ids = [await client.xadd(STREAM, {"event": "e"}, id=f"5-{first + n}") for n in range(100)]
    await client.xgroup_create(STREAM, GROUP, ids[59])
    await client.xgroup_create(STREAM, "warehouse", ids[39])
    await trimmer.trim(STREAM, 0, DAY, None)
    kept = await remaining(client)
    assert ids[39:] == kept[-61:]
    assert len(kept) <= 61 + NODE


async def test_a_reader_continues_at_its_position_and_the_lag_stays_exact(
    any_redis_url: str, client: Any, trimmer: RedisTrimmer
) -> None:
    from goald.adapters.redis import admin

    stream = RedisEventStream(any_redis_url, STREAM)
    ids = await add(client, 100)
    await stream.fence(StreamLease(STREAM, 1, "a"))
    await stream.acknowledge(ids[59], 60)
    assert await trimmer.trim(STREAM, 0, DAY, GROUP) > 0
    assert (await admin.lag(client))[STREAM] == 40
    assert [entry[0] for entry in await stream.read(ids[59], 100)] == ids[60:]
    await stream.close()
    again = RedisEventStream(any_redis_url, STREAM)
    await again.fence(StreamLease(STREAM, 2, "b"))
    await again.acknowledge(ids[69], 10)
    assert (await admin.lag(client))[STREAM] == 30
    await again.close()


async def test_no_unread_entry_is_lost_under_concurrent_writes_reads_and_trims(
    any_redis_url: str, client: Any, trimmer: RedisTrimmer
) -> None:
    stream = RedisEventStream(any_redis_url, STREAM)
    await stream.fence(StreamLease(STREAM, 1, "a"))
    added: list[bytes] = []
    read: list[bytes] = []
    done = asyncio.Event()

    async def trim_on() -> None:
        while not done.is_set():
            await trimmer.trim(STREAM, 0, DAY, GROUP)

    async def write() -> None:
        for _ in range(60):
            added.extend(await add(client, 50))

    async def read_on() -> None:
        after = b"0-0"
        while len(read) < 3_000:
            page = await stream.read(after, 37)
            read.extend(entry[0] for entry in page)
            if page:
                after = page[-1][0]
                await stream.acknowledge(after, len(page))
            else:
                await asyncio.sleep(0.001)

    trimming = asyncio.create_task(trim_on())
    try:
        async with asyncio.timeout(60):
            await asyncio.gather(write(), read_on())
    finally:
        done.set()
        await trimming
        await stream.close()
    assert read == added
    assert len(await remaining(client)) < 3_000


# The job ---------------------------------------------------------------------------------


async def test_the_job_trims_every_stream_and_counts(client: Any, trimmer: RedisTrimmer) -> None:
    registry, job = registry_and_job(trimmer, keep=0)
    for stream, group in ((STREAM, GROUP), (event_stream(200), GROUP), (EXITS, "engine")):
        ids = await add(client, 100, stream)
        await client.xgroup_create(stream, group, ids[-1])
    assert await job.once()
    for stream in (STREAM, event_stream(200), EXITS):
        trimmed = 100 - len(await remaining(client, stream))
        assert trimmed >= 99 - NODE
        labels = {"stream": stream}
        assert registry.get_sample_value("goald_stream_trimmed_total", labels) == trimmed


async def test_a_long_stream_is_trimmed_in_steps_until_it_is_done(
    client: Any, trimmer: RedisTrimmer
) -> None:
    _, job = registry_and_job(trimmer, keep=0)
    ids = await add(client, 2 * TRIM_ENTRIES + 500)
    await client.xgroup_create(STREAM, GROUP, ids[-1])
    assert 0 < await trimmer.trim(STREAM, 0, DAY, GROUP) <= TRIM_ENTRIES
    assert await job.once()
    assert len(await remaining(client)) <= 1 + NODE


async def test_a_stream_that_cannot_be_trimmed_does_not_delay_others(
    client: Any, trimmer: RedisTrimmer
) -> None:
    _, job = registry_and_job(trimmer, keep=0)
    await client.set(STREAM, "not a stream")
    ids = await add(client, 100, EXITS)
    await client.xgroup_create(EXITS, "engine", ids[-1])
    assert not await job.once()
    assert len(await remaining(client, EXITS)) <= 1 + NODE


async def test_a_full_redis_is_trimmed_too(client: Any, trimmer: RedisTrimmer) -> None:
    ids = await add(client, 100)
    await client.xgroup_create(STREAM, GROUP, ids[-1])
    await client.config_set("maxmemory", 1)
    try:
        assert await trimmer.trim(STREAM, 0, DAY, GROUP) > 0
    finally:
        await client.config_set("maxmemory", 0)


async def test_an_unreachable_redis_is_retried() -> None:
    trimmer = RedisTrimmer("unix:///tmp/goald-no-such-socket")
    with pytest.raises(ServiceUnavailable):
        await trimmer.trim(STREAM, 0, DAY, GROUP)
    _, job = registry_and_job(trimmer, keep=0)
    assert not await job.once()
    running = asyncio.create_task(job.run())
    done, _ = await asyncio.wait([running], timeout=0.2)
    assert not done
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
