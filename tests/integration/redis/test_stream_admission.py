"""The API admits events as long as the streams have room: Redis does not fill up, and a tenant that
sends little is accepted while another floods (D8)."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from goald.adapters.clock import SystemClock
from goald.adapters.redis.events.levels import RedisStreamLevels
from goald.api.admission import streams
from goald.api.admission.streams import StreamAdmission
from goald.api.problems import Problem, TooManyRequests, Unavailable
from goald.api.publishing import TenantPublisher
from goald.client import Publisher
from goald.domain.streams import partition_of
from goald.metrics.api import AdmissionMetrics
from goald.pipeline.intake import AcceptedEvent
from goald.redis_keys import EXITS, GROUP, NOTICES, event_stream

MIB = 1 << 20
BOUND = 8 * MIB
LARGE = 60_000


class Api:
    """The part of an API process that publishes events."""

    def __init__(self, url: str, max_bytes: int = BOUND) -> None:
        self.registry = CollectorRegistry()
        self._publisher = Publisher(url)
        self._levels = RedisStreamLevels(url)
        admission = StreamAdmission(
            self._levels, SystemClock(), AdmissionMetrics(self.registry), max_bytes=max_bytes
        )
        self._publishing = TenantPublisher(self._publisher, [admission])

    async def send(self, tenant: str, *, size: int = LARGE, count: int = 15) -> Problem | None:
        """Send a request of the contact `ann`. Returns the error answer; None if admitted."""
        try:
            await self._publishing.publish(tenant, [AcceptedEvent("ann", bytes(size))] * count)
        except Problem as problem:
            return problem
        return None

    async def flood(self, tenant: str, requests: int = 100) -> list[Problem]:
        """The error answers to many large requests, 85 MiB by default."""
        outcomes = [await self.send(tenant) for _ in range(requests)]
        return [outcome for outcome in outcomes if outcome is not None]

    async def close(self) -> None:
        await self._publisher.aclose()
        await self._levels.close()


@pytest.fixture(autouse=True)
def recheck_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests do not wait for levels to become old."""
    monkeypatch.setattr(streams, "RECHECK_S", 0.0)


@pytest.fixture
async def client(any_redis_url: str) -> AsyncIterator[Any]:
    async with Redis.from_url(any_redis_url) as client:
        yield client


@pytest.fixture
async def api(any_redis_url: str) -> AsyncIterator[Api]:
    api = Api(any_redis_url)
    yield api
    await api.close()


def stream_of(tenant: str) -> str:
    return event_stream(partition_of(tenant, "ann", 4))


FLOOD = "flood"
STREAM = stream_of(FLOOD)
NEIGHBOUR = next(f"calm-{n}" for n in range(100) if stream_of(f"calm-{n}") == STREAM)
"""A tenant whose contact is in the same stream."""


async def memory_of(client: Any, stream: str = STREAM) -> int:
    return int(await client.memory_usage(stream, samples=0) or 0)


async def test_a_flood_of_unprocessed_events_stays_within_half_of_the_bound(
    client: Any, api: Api
) -> None:
    answers = await api.flood(FLOOD)
    assert answers
    assert {type(answer) for answer in answers} == {TooManyRequests}
    assert BOUND / 3 < await memory_of(client) < BOUND * 0.6


async def test_a_neighbour_is_accepted_while_another_tenant_floods(client: Any, api: Api) -> None:
    for _ in range(5):
        assert await api.flood(FLOOD, 20)
        assert await api.send(NEIGHBOUR, size=1_000) is None
    assert await api.flood("second-flood", 50) or await memory_of(client) < BOUND
    assert await api.send(NEIGHBOUR, size=1_000) is None


async def test_the_answer_says_why_and_when_to_retry(api: Api) -> None:
    answer = (await api.flood(FLOOD))[0]
    assert answer.headers == {"Retry-After": "5"}
    assert f"bytes of this tenant's events wait in {STREAM}" in answer.detail
    labels = {"stream": STREAM, "cause": "tenant"}
    assert api.registry.get_sample_value("goald_api_no_room_total", labels)


async def test_events_are_admitted_again_once_goald_has_caught_up(client: Any, api: Api) -> None:
    assert await api.flood(FLOOD)
    (last_id, _), *_ = await client.xrevrange(STREAM, count=1)
    await client.xgroup_create(STREAM, GROUP, last_id)
    await client.xtrim(STREAM, maxlen=0)
    assert await api.send(FLOOD) is None


async def test_acknowledged_events_do_not_count_against_their_tenant(client: Any, api: Api) -> None:
    """They are history: the job that trims them gives their room back."""
    assert await api.send(FLOOD) is None
    await client.xgroup_create(STREAM, GROUP, "0")
    answers = 0
    for _ in range(6):
        answers += await api.send(FLOOD) is not None
        (last_id, _), *_ = await client.xrevrange(STREAM, count=1)
        await client.xgroup_setid(STREAM, GROUP, last_id)
    assert answers == 0
    assert await memory_of(client) > BOUND * 0.6


@pytest.mark.parametrize("processes", [2, 4])
async def test_several_api_processes_do_not_fill_a_stream(
    client: Any, any_redis_url: str, processes: int
) -> None:
    apis = [Api(any_redis_url) for _ in range(processes)]
    for _ in range(20):
        for api in apis:
            await api.flood(FLOOD, 5)
    assert await memory_of(client) < BOUND
    for api in apis:
        await api.close()


async def test_events_of_own_producers_count_too(client: Any, api: Api) -> None:
    async with client.pipeline(transaction=False) as pipe:
        for _ in range(140):
            pipe.xadd(STREAM, {"event": bytes(LARGE)})
        await pipe.execute()
    answer = await api.send(NEIGHBOUR)
    assert isinstance(answer, Unavailable)
    assert f"{STREAM} has no room" in answer.detail
    other = next(f"else-{n}" for n in range(100) if stream_of(f"else-{n}") != STREAM)
    assert await api.send(other) is None


async def test_small_old_entries_do_not_hide_a_flood_of_large_ones(client: Any, api: Api) -> None:
    """Redis estimates a stream from its oldest nodes."""
    async with client.pipeline(transaction=False) as pipe:
        for _ in range(30_000):
            pipe.xadd(STREAM, {"event": b"x"})
        await pipe.execute()
    assert await client.memory_usage(STREAM, samples=5) < MIB
    tenants = [name for n in range(40) if stream_of(name := f"flood-{n}") == STREAM]
    assert len(tenants) >= 4
    for tenant in tenants:
        await api.flood(tenant, 12)
    assert await memory_of(client) < BOUND + MIB


@pytest.mark.parametrize("stream", [EXITS, NOTICES])
async def test_no_event_is_admitted_while_the_readers_of_an_outbound_stream_are_behind(
    client: Any, api: Api, stream: str
) -> None:
    """Each event may cause exits and notices, which goald never drops."""
    async with client.pipeline(transaction=False) as pipe:
        for _ in range(150):
            pipe.xadd(stream, {"event": bytes(LARGE)})
        await pipe.execute()
    answer = await api.send(NEIGHBOUR, size=100, count=1)
    assert isinstance(answer, Unavailable)
    assert f"{stream} has no room" in answer.detail


async def test_events_leave_a_tenth_of_redis_free(client: Any, any_redis_url: str) -> None:
    before = (await client.info("memory"))["used_memory"]
    limit = before + 32 * MIB
    api = Api(any_redis_url, max_bytes=1 << 30)
    await client.config_set("maxmemory", limit)
    try:
        await api.flood(FLOOD, 60)
        used_by_one = (await client.info("memory"))["used_memory"] - before
        for tenant in range(20):
            await api.flood(f"tenant-{tenant}", 20)
        answer = await api.send(NEIGHBOUR)
        used = (await client.info("memory"))["used_memory"]
    finally:
        await client.config_set("maxmemory", 0)
        await api.close()
    assert used_by_one < 20 * MIB, "one tenant takes half of the room at most"
    assert isinstance(answer, Unavailable | TooManyRequests)
    assert used < limit * 0.95


async def test_no_event_is_admitted_while_redis_is_full(client: Any, any_redis_url: str) -> None:
    used = (await client.info("memory"))["used_memory"]
    api = Api(any_redis_url)
    await client.config_set("maxmemory", used + used // 20)
    try:
        answer = await api.send(NEIGHBOUR, size=100, count=1)
    finally:
        await client.config_set("maxmemory", 0)
        await api.close()
    assert isinstance(answer, Unavailable)
    assert answer.detail.startswith("Redis has no room")
