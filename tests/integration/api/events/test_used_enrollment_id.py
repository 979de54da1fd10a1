"""A start under the id of an enrollment that has ended is refused over HTTP (E12)."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
import redis
from tests.support.api.client import Api
from tests.support.pipeline.changes import NOON, SECOND, Effect, change
from tests.support.services.commands import events_in
from tests.support.services.servers import Database

from goald.adapters.postgres import PostgresShardStore
from goald.domain.slots import SlotRange
from goald.domain.times import rfc3339
from goald.pipeline.start_check import OTHER_OWNER, USED_ID

START = "/api/v1/workflows/nurture/enrollments"
PROBLEM = "urn:goald:problem:enrollment-id-used"
LATER = rfc3339(NOON + 60 * SECOND)


@pytest.fixture
async def ended(database: Database) -> None:
    """Ann's run has ended; of Bob's, only the end is known; Cyd's is active."""
    store = PostgresShardStore(database.dsn)
    lease = await store.acquire(SlotRange(0, 255), "test")
    rows = (
        Effect("ann", "ann", "nurture", status="exited", ended_at=NOON + 2 * SECOND),
        Effect("bob", "bob", "nurture", status="exited", ended_at=NOON),
        Effect("cyd", "cyd", "nurture"),
    )
    await store.commit(lease, change(*rows))
    await store.release(lease)
    await store.close()


@pytest.fixture
def client(make_api: Callable[..., Api], ended: None) -> httpx.Client:
    return make_api().client("acme", "events:write")


def start(enrollment: str, enrolled_at: str) -> dict[str, Any]:
    return {"enrollment_id": enrollment, "contact_id": enrollment, "enrolled_at": enrolled_at}


def published(redis_url: str) -> list[str]:
    with redis.Redis.from_url(redis_url) as connection:
        return [event["data"]["enrollment_id"] for event in events_in(connection)]


@pytest.mark.parametrize("enrollment", ["ann", "bob"])
def test_start_under_the_id_of_an_ended_run_gets_409(
    client: httpx.Client, redis_url: str, enrollment: str
) -> None:
    answer = client.post(START, json=start(enrollment, LATER))
    assert (answer.status_code, answer.json()["type"]) == (409, PROBLEM)
    assert answer.json()["detail"] == USED_ID
    assert published(redis_url) == []


@pytest.mark.parametrize("enrollment", ["ann", "bob", "cyd"])
@pytest.mark.parametrize(
    ("workflow", "contact"), [("nurture", "other"), ("other", None), ("other", "other")]
)
def test_start_under_the_id_of_another_contact_or_workflow_gets_409(
    client: httpx.Client, redis_url: str, enrollment: str, workflow: str, contact: str | None
) -> None:
    body = start(enrollment, rfc3339(NOON)) | {"contact_id": contact or enrollment}
    answer = client.post(START.replace("nurture", workflow), json=body)
    assert (answer.status_code, answer.json()["type"]) == (409, PROBLEM)
    assert answer.json()["detail"] == OTHER_OWNER
    assert published(redis_url) == []


@pytest.mark.parametrize(
    ("enrollment", "enrolled_at"),
    [
        ("ann", rfc3339(NOON)),
        ("bob", rfc3339(NOON - SECOND)),
        ("cyd", LATER),
        ("new", LATER),
    ],
)
def test_repeat_own_late_start_and_active_run_are_published(
    client: httpx.Client, redis_url: str, enrollment: str, enrolled_at: str
) -> None:
    answer = client.post(START, json=start(enrollment, enrolled_at))
    assert (answer.status_code, published(redis_url)) == (202, [enrollment])


def test_list_is_accepted_without_starts_under_used_ids(
    client: httpx.Client, redis_url: str
) -> None:
    events = [
        {
            "id": f"start-{each}",
            "source": "test",
            "type": "workflow.enrollment.started",
            "time": LATER,
            "data": {"contact_id": each, "workflow_id": "nurture", "enrollment_id": each},
        }
        for each in ("ann", "new")
    ]
    answer = client.post("/api/v1/events", json=events)
    assert (answer.status_code, answer.json()["accepted"]) == (202, 1)
    assert answer.json()["refused"] == [{"index": 0, "id": "start-ann", "reason": USED_ID}]
    single = client.post("/api/v1/events", json=events[:1])
    assert (single.status_code, single.json()["type"]) == (409, PROBLEM)
    assert published(redis_url) == ["new"]


def test_dry_run_shows_that_a_start_would_be_refused(
    make_api: Callable[..., Api], ended: None
) -> None:
    event = {
        "id": "start-1",
        "source": "test",
        "type": "workflow.enrollment.started",
        "time": LATER,
        "data": {"contact_id": "ann", "workflow_id": "nurture", "enrollment_id": "ann"},
    }
    answer = make_api().client("acme").post("/api/v1/explain", json=event)
    assert answer.json()["reason"] == USED_ID
