"""One tenant's flood of events, and what it is to another (D8)."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.support.services.redis_proxy import Proxy

from goald.api.problems import TooManyRequests
from goald.api.publishing import LINE, SHARE_UNITS, Publishing, units
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


def test_an_event_counts_once_for_each_kibibyte() -> None:
    sizes = [1, 1_024, 1_025, 65_536]
    assert [units([AcceptedEvent("ann", bytes(size))]) for size in sizes] == [1, 1, 2, 64]
    assert units([AcceptedEvent("ann", bytes(size)) for size in sizes]) == 68


async def test_an_event_does_not_wait_behind_anothers_flood(publisher: Publisher) -> None:
    publishing = Publishing(publisher)
    await publishing.publish("calm", events("calm", 1))
    flood = [
        asyncio.create_task(publishing.publish("flood", events("flood", SHARE_UNITS)))
        for _ in range(LINE)
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
    publishing = Publishing(publisher)
    await asyncio.gather(*(publishing.publish("acme", events("acme", 1)) for _ in range(500)))
    await publisher.aclose()
    assert publisher.most >= 100


async def test_beyond_its_line_a_tenant_is_told_to_come_again(publisher: Publisher) -> None:
    publishing = Publishing(publisher)
    large = [AcceptedEvent("ann", bytes(600 << 10))]  # No two of them fit in a share.
    crowd = [publishing.publish("acme", large) for _ in range(3 * LINE)]

    outcomes = await asyncio.gather(*crowd, return_exceptions=True)

    refused = [outcome for outcome in outcomes if isinstance(outcome, TooManyRequests)]
    assert len(refused) == 2 * LINE - 1
    await publishing.publish("acme", events("acme", 1))


async def test_who_gave_up_in_a_line_holds_up_nobody(redis_url: str) -> None:
    async with Proxy(redis_url.removeprefix("unix://")) as proxy:
        publisher = Publisher(proxy.url)
        publishing = Publishing(publisher)
        await publishing.publish("acme", events("acme", 1))
        proxy.cut()
        crowd = [publishing.publish("acme", events("acme", SHARE_UNITS)) for _ in range(10)]
        outcomes = await asyncio.gather(*crowd, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {ServiceUnavailable}

        proxy.restore()
        await publisher.flush()
        await publishing.publish("acme", events("acme", SHARE_UNITS))
        await publisher.aclose()


class CountedPublisher(Publisher):
    """A publisher that tells how many waited at most for what they had published."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.most = self._now = 0

    async def flush(self, *, patience_s: float | None = None) -> None:
        self._now += 1
        self.most = max(self.most, self._now)
        await super().flush(patience_s=patience_s)
        self._now -= 1
