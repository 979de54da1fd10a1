"""The API refuses events of a tenant whose earlier ones keep a shard busy, so that they do not
fill the stream in front of other tenants (D8)."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from goald.adapters.memory.clock import ManualClock
from goald.adapters.redis.throttle import RedisTenantThrottle
from goald.api.admission.throttle import REFRESH_S, ThrottleAdmission
from goald.api.problems import TooManyRequests
from goald.api.publishing import TenantPublisher
from goald.client import Publisher
from goald.domain.ids import TenantId
from goald.metrics.api import AdmissionMetrics
from goald.pipeline.intake import AcceptedEvent
from goald.redis_keys import THROTTLED, event_stream

NOISY, CALM = "noisy", "calm"
EVENT = AcceptedEvent("ann", b"{}")
REFUSED = "goald_api_throttled_total"


class Api:
    """The part of an API process that publishes events, and a shard that throttles tenants."""

    def __init__(self, url: str) -> None:
        self.registry = CollectorRegistry()
        self.clock = ManualClock()
        self.shard = RedisTenantThrottle(url)
        self._throttle = RedisTenantThrottle(url)
        self._publisher = Publisher(url)
        metrics = AdmissionMetrics(self.registry)
        self._publishing = TenantPublisher(
            self._publisher, [ThrottleAdmission(self._throttle, self.clock, metrics)]
        )

    async def send(self, tenant: str) -> TooManyRequests | None:
        """Send a request with one event. Returns the rejection; None if it is sent."""
        await self.clock.advance(REFRESH_S)
        try:
            await self._publishing.publish(tenant, [EVENT])
        except TooManyRequests as rejection:
            return rejection
        return None

    async def close(self) -> None:
        await self._publisher.aclose()
        await self.shard.close()
        await self._throttle.close()


@pytest.fixture
async def api(any_redis_url: str) -> AsyncIterator[Api]:
    api = Api(any_redis_url)
    yield api
    await api.close()


async def entries(url: str) -> int:
    client: Any
    async with Redis.from_url(url) as client:
        return sum([int(await client.xlen(event_stream(partition))) for partition in range(4)])


async def test_the_answer_says_why_and_when_to_retry(api: Api, any_redis_url: str) -> None:
    await api.shard.throttle([TenantId(NOISY)])
    rejection = await api.send(NOISY)
    assert rejection is not None
    assert rejection.headers == {"Retry-After": "1"}
    assert "Earlier events of this tenant are still being processed" in rejection.detail
    assert await entries(any_redis_url) == 0
    assert api.registry.get_sample_value(REFUSED) == 1


async def test_other_tenants_are_not_refused(api: Api) -> None:
    await api.shard.throttle([TenantId(NOISY)])
    assert await api.send(CALM) is None
    assert api.registry.get_sample_value(REFUSED) == 0


async def test_a_tenant_can_send_again_after_the_time(api: Api, any_redis_url: str) -> None:
    await api.shard.throttle([TenantId(NOISY)])
    assert await api.send(NOISY) is not None
    client: Any
    async with Redis.from_url(any_redis_url) as client:
        await client.zadd(THROTTLED, {NOISY: 0})  # as after THROTTLE_SECONDS
    assert await api.send(NOISY) is None


async def test_events_are_admitted_while_the_throttled_tenants_are_unknown() -> None:
    """An unreachable Redis is reported by the publication itself."""
    registry = CollectorRegistry()
    admission = ThrottleAdmission(
        RedisTenantThrottle("unix:///nowhere"), ManualClock(), AdmissionMetrics(registry)
    )
    await admission.admit(NOISY, [EVENT])
    assert registry.get_sample_value(REFUSED) == 0
