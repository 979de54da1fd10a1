"""Publishing while a caller waits: confirmed events are stored, and events do not accumulate while
Redis fails (D6)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis
from tests.support.services.redis_proxy import Proxy

from goald.api.publishing import TenantPublisher
from goald.client import Publisher
from goald.domain.errors import ServiceUnavailable
from goald.pipeline.intake import AcceptedEvent

EVENT = AcceptedEvent("ann", b"{}")


@pytest.fixture
async def proxy(redis_url: str) -> AsyncIterator[Proxy]:
    async with Proxy(urlsplit(redis_url).path) as proxy:
        yield proxy


@pytest.fixture
async def publisher(proxy: Proxy) -> AsyncIterator[Publisher]:
    created = Publisher(proxy.url)
    yield created
    proxy.restore()
    await created.aclose()


@pytest.fixture
def publishing(publisher: Publisher) -> TenantPublisher:
    return TenantPublisher(publisher)


async def count(redis_url: str) -> int:
    async with Redis.from_url(redis_url) as client:
        return sum([await client.xlen(f"goald:events:{n}") for n in range(4)])


async def test_publish_returns_when_redis_has_the_events(
    publishing: TenantPublisher, redis_url: str
) -> None:
    await asyncio.gather(*(publishing.publish("acme", [EVENT] * 10) for _ in range(20)))
    assert await count(redis_url) == 200


async def test_publish_raises_while_redis_fails_and_succeeds_afterwards(
    proxy: Proxy, publisher: Publisher, publishing: TenantPublisher, redis_url: str
) -> None:
    await publishing.publish("acme", [EVENT])
    proxy.cut()
    with pytest.raises(ServiceUnavailable):
        await publishing.publish("acme", [EVENT])
    proxy.restore()
    await publisher.flush()
    await publishing.publish("acme", [EVENT])
    # An unconfirmed event may have been written; sending it again changes nothing (D1).
    assert await count(redis_url) == 3


async def test_no_further_events_are_accepted_while_redis_fails(
    proxy: Proxy, publisher: Publisher, publishing: TenantPublisher, redis_url: str
) -> None:
    proxy.cut()
    with pytest.raises(ServiceUnavailable):
        await publishing.publish("acme", [EVENT])
    failed: list[Any] = await asyncio.gather(
        *(publishing.publish("acme", [EVENT] * 100) for _ in range(50)), return_exceptions=True
    )
    assert {type(error) for error in failed} == {ServiceUnavailable}
    proxy.restore()
    await publisher.flush()
    assert await count(redis_url) == 1
