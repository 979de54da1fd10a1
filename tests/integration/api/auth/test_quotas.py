"""The quotas of a tenant per second."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs
from tests.support.api.client import Api
from tests.support.services.redis_proxy import Proxy

from goald.adapters.clock import SystemClock
from goald.adapters.memory.clock import ManualClock
from goald.adapters.redis.quotas import PATIENCE_S, RedisQuotas
from goald.domain.errors import QuotaExceeded
from goald.ports.clock import Clock

DEADLINE_S = 60.0


@asynccontextmanager
async def quotas(
    url: str,
    requests: int = 0,
    events: int = 0,
    bytes_: int = 0,
    clock: Clock | None = None,
    patience: float = DEADLINE_S,
) -> AsyncIterator[RedisQuotas]:
    """Yields quotas that wait `patience` seconds for Redis, by default long enough for a busy
    machine."""
    created = RedisQuotas(
        url,
        clock or SystemClock(),
        requests=requests,
        events=events,
        bytes_=bytes_,
        patience=patience,
    )
    yield created
    await created.close()


async def refused(ask: Callable[[], Awaitable[None]], times: int) -> int:
    """The number of refused calls."""
    count = 0
    for _ in range(times):
        try:
            await ask()
        except QuotaExceeded:
            count += 1
    return count


async def until_taken(ask: Callable[[], Awaitable[None]]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while await refused(ask, 1):
            await asyncio.sleep(0.02)


async def test_quota_affects_one_tenant_for_one_second(
    any_redis_url: str,
) -> None:
    async with quotas(any_redis_url, requests=5) as current:
        assert await refused(lambda: current.requests("flood"), 50) > 0

        assert await refused(lambda: current.requests("calm"), 5) == 0
        await until_taken(lambda: current.requests("flood"))


async def test_bytes_are_counted_apart_from_events_and_a_large_batch_can_be_sent(
    any_redis_url: str,
) -> None:
    async with quotas(any_redis_url, events=5, bytes_=1_000) as current:
        await until_taken(lambda: current.bytes("flood", 1 << 20))
        assert await refused(lambda: current.bytes("flood", 500), 3) > 0
        assert await refused(lambda: current.events("flood", 5), 1) == 0
        assert await refused(lambda: current.bytes("calm", 1_000), 1) == 0
        await until_taken(lambda: current.bytes("flood", 100))


async def test_processes_share_a_tenants_quota(redis_url: str) -> None:
    async with quotas(redis_url, requests=5) as item, quotas(redis_url, requests=5) as other:
        assert await refused(lambda: item.requests("acme"), 5) == 0
        assert await refused(lambda: other.requests("acme"), 20) > 0


async def test_events_are_counted_by_their_number_and_apart_from_requests(redis_url: str) -> None:
    async with quotas(redis_url, requests=2, events=1_000) as current:
        assert await refused(lambda: current.events("acme", 600), 20) > 0
        await current.events("acme", 300)  # Refused calls do not use the quota.
        await current.requests("acme")


async def test_events_and_bytes_are_counted_both_or_neither(redis_url: str) -> None:
    async with quotas(redis_url, events=100, bytes_=100) as current:
        admitted, refused_call, events = await asyncio.gather(
            current.events_and_bytes("acme", 10, 90),
            current.events_and_bytes("acme", 80, 50),
            current.events("acme", 80),
            return_exceptions=True,
        )

    assert admitted is None
    assert isinstance(refused_call, QuotaExceeded)
    assert "GOALD_QUOTA_BYTES" in str(refused_call)
    assert events is None, "the events of a refused call are counted"


async def test_batch_larger_than_the_quota_can_be_sent(redis_url: str) -> None:
    async with quotas(redis_url, events=100) as current:
        assert 0 < await refused(lambda: current.events("acme", 1_000), 20) < 20
        await until_taken(lambda: current.events("acme", 1_000))


async def test_concurrent_requests_do_not_disable_the_quota(redis_url: str) -> None:
    """The connection pool has a hundred connections."""
    async with quotas(redis_url, requests=5, clock=ManualClock()) as current:
        with capture_logs() as logs:
            calls = [refused(lambda: current.requests("acme"), 1) for _ in range(1_000)]
            assert sum(await asyncio.gather(*calls)) >= 900
        assert logs == []


async def test_quota_of_zero_is_unlimited(redis_url: str) -> None:
    async with quotas(redis_url) as current:
        assert await refused(lambda: current.requests("acme"), 200) == 0
        await current.events("acme", 1_000_000)


async def test_without_redis_requests_pass_and_one_warning_is_logged(
    redis_url: str,
) -> None:
    clock = ManualClock()
    async with (
        Proxy(redis_url.removeprefix("unix://")) as proxy,
        quotas(proxy.url, requests=1, clock=clock) as current,
    ):
        proxy.cut()
        with capture_logs() as logs:
            for _ in range(5):
                assert await refused(lambda: current.requests("acme"), 3) == 0
                await clock.advance(2)
        assert [entry["event"] for entry in logs] == ["quotas are not counted"]

        proxy.restore()
        assert await refused(lambda: current.requests("acme"), 20) > 0


async def test_unresponsive_redis_delays_only_the_first_request() -> None:
    asked = 0
    ended = asyncio.Event()

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await reader.read(-1)
        writer.close()
        ended.set()

    server = await asyncio.start_server(never, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with quotas(
        f"redis://127.0.0.1:{port}", 1, clock=ManualClock(), patience=PATIENCE_S
    ) as current:
        async with asyncio.timeout(DEADLINE_S):
            assert await refused(lambda: current.requests("acme"), 500) == 0
    server.close()
    await ended.wait()
    assert asked == 1


@pytest.mark.usefixtures("patient_quotas")
def test_refused_request_gets_retry_after(make_api: Callable[..., Api]) -> None:
    client = make_api(quota_requests=2).client("acme", "workflows:edit")

    answers = [client.get("/api/v1/webhooks") for _ in range(30)]

    stopped = [answer for answer in answers if answer.status_code == 429]
    assert stopped
    assert stopped[0].headers["retry-after"] == "1"
    assert stopped[0].headers["content-type"] == "application/problem+json"
    assert stopped[0].json()["title"] == "Too Many Requests"


@pytest.mark.usefixtures("patient_quotas")
def test_unauthenticated_requests_use_no_quota(make_api: Callable[..., Api]) -> None:
    api = make_api(quota_requests=1)
    query = {"tenant": "acme", "provider": "stripe"}
    headers = {"webhook-signature": "v1,x", "webhook-id": "x", "webhook-timestamp": "1"}
    for _ in range(20):
        answer = api.anonymous().post("/api/v1/events", params=query, headers=headers)
        assert answer.status_code == 401

    assert api.client("acme").get("/api/v1/webhooks").status_code == 200


async def test_concurrent_calls_of_a_tenant_count_each(redis_url: str) -> None:
    async with quotas(redis_url, events=100) as limited:
        costs = [1, 30, 2, 30, 3, 500] * 10

        results = await asyncio.gather(
            *(limited.events("acme", cost) for cost in costs),
            limited.events("globex", 100),
            return_exceptions=True,
        )

    assert results.pop() is None, "another tenant"
    admitted = [min(cost, 100) for cost, each in zip(costs, results, strict=True) if each is None]
    assert all(isinstance(each, QuotaExceeded) for each in results if each is not None)
    # The window slides, so the calls of a slow machine may fall into several.
    assert 0 < len(admitted) < len(costs)
    assert sum(admitted) >= 70
