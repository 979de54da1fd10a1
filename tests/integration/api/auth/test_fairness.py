"""Many events of one tenant do not delay those of another (D8)."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.support.services.redis_proxy import Proxy

from goald.api import publishing as publishing_module
from goald.api.problems import TooManyRequests
from goald.api.publishing import (
    MAX_UNITS_IN_FLIGHT,
    MAX_WAITING,
    TenantPublisher,
    units,
)
from goald.client import Publisher, event
from goald.client.envelope import encode
from goald.domain.errors import ServiceUnavailable
from goald.pipeline.intake import AcceptedEvent


def events(tenant: str, count: int) -> list[AcceptedEvent]:
    """Of one unit each."""
    created = event("contact.tag.added", tenant, "ann", {"tag_id": "t", "note": "x" * 600})
    return [AcceptedEvent("ann", encode(created, "json"))] * count


@pytest.fixture
async def publisher(redis_url: str) -> AsyncIterator[Publisher]:
    async with Publisher(redis_url) as created:
        yield created


def test_event_counts_once_per_kibibyte() -> None:
    sizes = [1, 1_024, 1_025, 65_536]
    assert [units([AcceptedEvent("ann", bytes(size))]) for size in sizes] == [1, 1, 2, 64]
    assert units([AcceptedEvent("ann", bytes(size)) for size in sizes]) == 68


async def test_event_does_not_wait_for_the_flood_of_another_tenant(publisher: Publisher) -> None:
    publishing = TenantPublisher(publisher)
    await publishing.publish("calm", events("calm", 1))
    flood = [
        asyncio.create_task(publishing.publish("flood", events("flood", MAX_UNITS_IN_FLIGHT)))
        for _ in range(MAX_WAITING)
    ]
    await asyncio.sleep(0)  # All of them ask before the calm one does.

    await publishing.publish("calm", events("calm", 1))

    assert sum(task.done() for task in flood) <= 5
    for task in flood:
        task.cancel()
    await asyncio.gather(*flood, return_exceptions=True)


async def test_small_requests_of_a_tenant_share_a_flush(redis_url: str) -> None:
    """Each by itself would take a round trip of Redis."""
    publisher = CountedPublisher(redis_url)
    publishing = TenantPublisher(publisher)
    await asyncio.gather(*(publishing.publish("acme", events("acme", 1)) for _ in range(500)))
    await publisher.aclose()
    assert publisher.most >= 100


async def test_full_queue_of_a_tenant_gets_429(publisher: Publisher) -> None:
    publishing = TenantPublisher(publisher)
    large = [AcceptedEvent("ann", bytes(600 << 10))]  # No two of them fit in a share.
    calls = [publishing.publish("acme", large) for _ in range(3 * MAX_WAITING)]

    outcomes = await asyncio.gather(*calls, return_exceptions=True)

    refused = [outcome for outcome in outcomes if isinstance(outcome, TooManyRequests)]
    assert len(refused) == 2 * MAX_WAITING - 1
    await publishing.publish("acme", events("acme", 1))


async def test_request_behind_many_events_of_its_tenant_gets_429(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 would say that Redis or goald is at fault, and would alarm the operator."""
    sink = SlowPublisher(redis_url)
    publishing = TenantPublisher(sink)
    full = events("acme", MAX_UNITS_IN_FLIGHT)
    earlier = [asyncio.create_task(publishing.publish("acme", full)) for _ in range(2)]
    await asyncio.sleep(0)
    monkeypatch.setattr(publishing_module, "PATIENCE_S", 1.0)
    late = asyncio.create_task(publishing.publish("acme", full))
    await asyncio.sleep(0)
    sink.permit.set()  # Redis accepts the first request. The second one takes its place.
    await earlier[0]
    with pytest.raises(TooManyRequests, match="Earlier events of this tenant"):
        await late
    earlier[1].cancel()
    await asyncio.gather(earlier[1], return_exceptions=True)
    await sink.aclose()


async def test_cancelled_request_does_not_block_the_queue(redis_url: str) -> None:
    async with Proxy(redis_url.removeprefix("unix://")) as proxy:
        publisher = Publisher(proxy.url)
        publishing = TenantPublisher(publisher)
        await publishing.publish("acme", events("acme", 1))
        proxy.cut()
        calls = [publishing.publish("acme", events("acme", MAX_UNITS_IN_FLIGHT)) for _ in range(10)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {ServiceUnavailable}

        proxy.restore()
        await publisher.flush()
        await publishing.publish("acme", events("acme", MAX_UNITS_IN_FLIGHT))
        await publisher.aclose()


class SlowPublisher(Publisher):
    """A publisher that stores the events of one caller after `permit`, and of others never."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.permit = asyncio.Event()

    async def flush(self, *, patience_s: float | None = None) -> None:
        if patience_s:
            await self.permit.wait()
            self.permit.clear()
        await super().flush(patience_s=patience_s)


class CountedPublisher(Publisher):
    """A publisher that counts how many callers wait at the same time, at most."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.most = self._now = 0

    async def flush(self, *, patience_s: float | None = None) -> None:
        self._now += 1
        self.most = max(self.most, self._now)
        await super().flush(patience_s=patience_s)
        self._now -= 1
