"""The memory of the streams is measured and bounded: acknowledged entries are trimmed early, and
unacknowledged ones never (D5, D8)."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from goald.adapters.clock import SystemClock
from goald.adapters.redis.events.levels import RedisStreamLevels
from goald.adapters.redis.events.trim_bytes import RedisByteTrimmer
from goald.domain.errors import ServiceUnavailable
from goald.metrics.jobs import StreamBoundMetrics
from goald.ports.stream_admin import StreamLevel
from goald.redis_keys import EXITS, GROUP, NOTICES, event_stream
from goald.runtime.doctor.memory import MemoryBounds, memory
from goald.runtime.jobs.stream_bounds import StreamBounds

STREAM = event_stream(0)
MIB = 1 << 20
BOUND = 4 * MIB
EVENT = b"x" * 10_000


class Bounds:
    """The job over one server, and its metrics."""

    def __init__(self, url: str, max_bytes: int = BOUND) -> None:
        self.registry = CollectorRegistry()
        self.levels = RedisStreamLevels(url)
        self.trimmer = RedisByteTrimmer(url)
        metrics = StreamBoundMetrics(self.registry)
        self.job = StreamBounds(self.levels, self.trimmer, max_bytes, metrics, SystemClock())

    async def level(self, stream: str = STREAM) -> StreamLevel:
        return {level.name: level for level in (await self.levels.read()).all()}[stream]

    def metric(self, name: str, stream: str = STREAM) -> float | None:
        return self.registry.get_sample_value(name, {"stream": stream})


@pytest.fixture
async def client(any_redis_url: str) -> AsyncIterator[Any]:
    async with Redis.from_url(any_redis_url) as client:
        yield client


@pytest.fixture
async def bounds(any_redis_url: str) -> AsyncIterator[Bounds]:
    bounds = Bounds(any_redis_url)
    yield bounds
    await bounds.levels.close()
    await bounds.trimmer.close()


async def add(client: Any, count: int, stream: str = STREAM, event: bytes = EVENT) -> list[bytes]:
    async with client.pipeline(transaction=False) as pipe:
        for _ in range(count):
            pipe.xadd(stream, {"event": event})
        return list(await pipe.execute())


async def remaining(client: Any, stream: str = STREAM) -> list[bytes]:
    return [entry_id for entry_id, _ in await client.xrange(stream)]


async def test_acknowledged_entries_are_trimmed_early_if_the_stream_takes_too_much_memory(
    client: Any, bounds: Bounds
) -> None:
    ids = await add(client, 600)
    await client.xgroup_create(STREAM, GROUP, ids[-1])
    await bounds.job.once()
    kept = await remaining(client)
    assert kept == ids[-len(kept) :]
    assert 0 < (await bounds.level()).bytes <= BOUND / 2
    assert len(kept) >= 50, "no more is trimmed than the bound requires"
    assert bounds.metric("goald_stream_trimmed_early_total") == 600 - len(kept)


async def test_a_stream_within_its_bound_is_left_alone(client: Any, bounds: Bounds) -> None:
    ids = await add(client, 150)
    await client.xgroup_create(STREAM, GROUP, ids[-1])
    await bounds.job.once()
    assert await remaining(client) == ids
    assert (bounds.metric("goald_stream_bytes") or 0) > 150 * len(EVENT)


@pytest.mark.parametrize("group", [GROUP, "warehouse"])
async def test_no_entry_is_trimmed_that_a_group_has_not_acknowledged(
    client: Any, bounds: Bounds, group: str
) -> None:
    """Also if the stream exceeds its bound by far."""
    ids = await add(client, 1_000)
    for name in (GROUP, "warehouse"):
        await client.xgroup_create(STREAM, name, ids[-1])
    await client.xgroup_setid(STREAM, group, ids[199])
    await bounds.job.once()
    kept = await remaining(client)
    assert ids[200:] == kept[-800:]
    assert len(kept) < 1_000


async def test_a_pending_entry_is_not_trimmed_early(client: Any, bounds: Bounds) -> None:
    ids = await add(client, 1_000, EXITS)
    await client.xgroup_create(EXITS, "engine", "0")
    await client.xreadgroup("engine", "one", {EXITS: ">"}, count=1_000)
    await client.xack(EXITS, "engine", *ids[:100], *ids[101:])
    await bounds.job.once()
    assert ids[100] in await remaining(client, EXITS)


async def test_events_that_goald_has_never_read_are_not_trimmed_early(
    client: Any, bounds: Bounds
) -> None:
    ids = await add(client, 600)
    await bounds.job.once()
    assert await remaining(client) == ids
    await client.xgroup_create(STREAM, "warehouse", ids[-1])
    await bounds.job.once()
    assert await remaining(client) == ids


@pytest.mark.parametrize("stream", [EXITS, NOTICES])
async def test_outbound_streams_without_a_reader_are_bounded(
    client: Any, bounds: Bounds, stream: str
) -> None:
    """A tenant could fill Redis otherwise: nothing else trims them by size."""
    ids = await add(client, 1_000, stream)
    await bounds.job.once()
    assert (await bounds.level(stream)).bytes <= BOUND / 2
    assert ids[-1] in await remaining(client, stream)


async def test_small_entries_are_trimmed_in_several_calls(client: Any, bounds: Bounds) -> None:
    ids = await add(client, 30_000, event=b"x" * 300)
    await client.xgroup_create(STREAM, GROUP, ids[-1])
    assert (await bounds.level()).bytes > BOUND
    await bounds.job.once()
    assert (await bounds.level()).bytes <= BOUND / 2


async def test_acknowledged_events_are_not_kept_while_redis_is_nearly_full(
    client: Any, bounds: Bounds
) -> None:
    ids = await add(client, 150)
    await client.xgroup_create(STREAM, GROUP, ids[99])
    used = (await client.info("memory"))["used_memory"]
    await client.config_set("maxmemory", used + used // 8)
    try:
        await bounds.job.once()
    finally:
        await client.config_set("maxmemory", 0)
    kept = await remaining(client)
    assert ids[100:] == kept[-50:]
    assert len(kept) < 150


async def test_levels_say_since_when_entries_wait(client: Any, bounds: Bounds) -> None:
    ids = await add(client, 10)
    level = await bounds.level()
    assert level.acknowledged_us == 0, "goald has not read the stream"
    assert level.oldest_us == int(ids[0].split(b"-")[0]) * 1_000
    await client.xgroup_create(STREAM, GROUP, ids[4])
    assert (await bounds.level()).acknowledged_us == int(ids[4].split(b"-")[0]) * 1_000
    await client.xgroup_setid(STREAM, GROUP, ids[9])
    levels = await bounds.levels.read()
    assert levels.events[0].acknowledged_us == levels.at_us
    assert levels.events[1] == StreamLevel(event_stream(1), 0, levels.at_us, levels.at_us)


async def test_levels_are_estimated_for_a_login_that_may_not_ask_for_memory(
    client: Any, any_redis_url: str
) -> None:
    await add(client, 250)
    await client.execute_command(
        "ACL", "SETUSER", "hosted", "on", ">secret", "+@all", "-memory", "-info", "~*"
    )
    try:
        separator = "&" if "?" in any_redis_url else "?"
        hosted = Bounds(f"{any_redis_url}{separator}username=hosted&password=secret")
        levels = await hosted.levels.read()
        assert levels.events[0].bytes == pytest.approx(250 * len(EVENT), rel=0.1)
        assert (levels.used_bytes, levels.max_bytes) == (0, None)
        await hosted.levels.close()
    finally:
        await client.execute_command("ACL", "DELUSER", "hosted")


async def test_an_unreachable_server_does_not_end_the_job() -> None:
    bounds = Bounds("unix:///tmp/goald-no-such-socket")
    await bounds.job.once()
    with pytest.raises(ServiceUnavailable):
        await bounds.levels.read()


async def test_doctor_warns_of_full_streams_and_of_a_limit_below_the_bounds(
    client: Any, bounds: Bounds
) -> None:
    async def found(max_bytes: int) -> dict[str, tuple[str, str]]:
        checks = memory(await bounds.levels.read(), MemoryBounds(max_bytes, MIB))
        return {check.name: (check.state, check.text) for check in checks}

    await add(client, 350)
    healthy = await found(16 * MIB)
    assert {state for state, _ in healthy.values()} == {"ok"}
    assert (await found(BOUND))[STREAM][0] == "warn"
    await client.config_set("maxmemory", 64 * MIB)
    try:
        state, text = (await found(16 * MIB))["memory limit of Redis"]
    finally:
        await client.config_set("maxmemory", 0)
    assert state == "warn"
    assert "the streams may take 0.09 GiB" in text
