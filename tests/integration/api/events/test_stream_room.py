"""No request within the quota fills Redis, and a flood does not shut out other tenants (D8)."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
import redis
from tests.support.api.client import Api

from goald.client import event
from goald.redis_keys import event_stream

PATH = "/api/v1/events"
MIB = 1 << 20
BOUND = 8 * MIB


@pytest.fixture
def api(make_api: Callable[..., Api]) -> Api:
    """An API with small streams, whose events no shard processes."""
    return make_api(stream_bytes=BOUND, quota_events=0, quota_bytes=0)


def request(tenant: str, event_type: str, number: int) -> list[dict[str, Any]]:
    """Almost 1 MiB of events."""
    padding = {f"note{n}": "x" * 1_000 for n in range(58)}
    data = {"tag_id": "t-1", **padding}
    return [event(event_type, tenant, f"c-{number}-{n}", data) for n in range(16)]


def flood(
    client: httpx.Client, tenant: str, event_type: str, requests: int
) -> list[httpx.Response]:
    return [client.post(PATH, json=request(tenant, event_type, n)) for n in range(requests)]


def memory(redis_url: str) -> int:
    """Memory of the event streams."""
    with redis.Redis.from_url(redis_url) as client:
        return sum(int(client.memory_usage(event_stream(n), samples=0) or 0) for n in range(4))


@pytest.mark.parametrize("event_type", ["page.viewed", "payment.disputed", "contact.tag.add"])
def test_a_flood_of_ignored_events_takes_no_memory_of_redis(
    api: Api, redis_url: str, event_type: str
) -> None:
    """A tenant that sends all events of its platform, or misspells a type, would fill Redis with
    events that achieve nothing."""
    answers = flood(api.client("flood", "events:write"), "flood", event_type, 40)
    assert {answer.status_code for answer in answers} == {202}
    assert {answer.json()["ignored"] for answer in answers} == {16}
    assert memory(redis_url) == 0


@pytest.mark.parametrize("event_type", ["contact.tag.added", "payment.refunded"])
def test_a_flood_of_processed_events_is_bounded_and_a_neighbour_is_accepted(
    api: Api, redis_url: str, event_type: str
) -> None:
    """One tenant's events would fill Redis, and goald would refuse those of all others. A refund
    achieves no goal, but goald processes it."""
    answers = flood(api.client("flood", "events:write"), "flood", event_type, 60)
    refused = [answer for answer in answers if answer.status_code != 202]
    assert 0 < len(refused) < len(answers)
    assert {answer.status_code for answer in refused} == {429}
    assert refused[-1].headers["retry-after"] == "5"
    assert "goald is behind" in refused[-1].json()["detail"]
    neighbour = api.client("neighbour", "events:write")
    small = event("contact.tag.added", "neighbour", "ann", {"tag_id": "t-1"})
    assert [neighbour.post(PATH, json=small).status_code for _ in range(20)] == [202] * 20
    assert memory(redis_url) < 4 * BOUND * 0.75
    text = neighbour.get("/metrics").text
    assert 'goald_api_no_room_total{cause="tenant"' in text


def test_enrollments_are_refused_too_while_the_streams_are_full(api: Api, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        for partition in range(4):
            for _ in range(150):
                client.xadd(event_stream(partition), {"event": bytes(60_000)})
    answer = api.client("acme").post(
        "/api/v1/workflows/w-1/enrollments",
        json={"enrollment_id": "e-1", "contact_id": "ann"},
    )
    assert answer.status_code == 503
    assert "has no room for more events" in answer.json()["detail"]


@pytest.mark.usefixtures("patient_quotas")
def test_the_bytes_of_a_tenant_are_limited_per_second(
    make_api: Callable[..., Api], redis_url: str
) -> None:
    api = make_api(quota_bytes=1 << 20)
    client = api.client("flood", "events:write")
    codes = [answer.status_code for answer in flood(client, "flood", "contact.tag.added", 8)]
    assert codes[0] == 202
    assert 429 in codes
    ignored = flood(client, "flood", "page.viewed", 3)
    assert {answer.status_code for answer in ignored} == {202}, "they take no memory"
