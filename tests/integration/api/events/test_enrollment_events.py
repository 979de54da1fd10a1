"""Enrollments by calls in place of events: each call becomes the event that a platform would have
published (E5)."""

import json
from typing import Any
from uuid import NAMESPACE_DNS, uuid5

import httpx
import pytest
import redis
from tests.support.api.client import Api
from tests.support.pipeline.changes import NOON, SECOND, Effect, change
from tests.support.services.commands import events_in
from tests.support.services.servers import Database

from goald import _native
from goald.adapters.postgres import PostgresShardStore
from goald.adapters.postgres.erasure_pages import PostgresErasurePages
from goald.domain.records.erasure import ErasurePage
from goald.domain.slots import SlotRange

START = "/api/v1/workflows/nurture/enrollments"
END = "/api/v1/workflows/nurture/enrollments/e-1/end"


@pytest.fixture
def client(api: Api) -> httpx.Client:
    return api.client("acme", "events:write")


@pytest.fixture
async def known(database: Database) -> None:
    """Ann's enrollment e-1 in nurture."""
    store = PostgresShardStore(database.dsn)
    lease = await store.acquire(SlotRange(0, 255), "test")
    await store.commit(lease, change(Effect("e-1", workflow_id="nurture")))
    await store.release(lease)
    await store.close()


@pytest.fixture
async def erased(database: Database) -> None:
    """Enrollment e-1 in nurture. Its contact, ann, is deleted and erased from its rows."""
    store = PostgresShardStore(database.dsn)
    lease = await store.acquire(SlotRange(0, 255), "test")
    deletions = [("acme", "ann", 3, NOON + SECOND)]
    await store.commit(lease, change(Effect("e-1", workflow_id="nurture"), deletions=deletions))
    await store.release(lease)
    await store.close()
    pages = PostgresErasurePages(database.dsn)
    while await pages.rewrite() != ErasurePage():
        pass
    await pages.close()


def published(redis_url: str) -> list[dict[str, Any]]:
    with redis.Redis.from_url(redis_url) as client:
        return events_in(client)


def effects(event: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """The effects that the matcher proposes: (enrollment, workflow, contact, status)."""
    entry = [b"1-0", [b"event", json.dumps(event).encode()]]
    routed = _native.Router(bytes(_native.SLOTS)).route([entry])
    proposal = _native.Matcher().evaluate([b for _, b, _ in routed.buffers], 1 << 60)
    assert proposal.rejects == []
    rows = proposal.effects
    columns = (rows.enrollment_id, rows.workflow_id, rows.contact_id, rows.status)
    return list(zip(*columns, strict=True))


def test_start_publishes_the_started_event(client: httpx.Client, redis_url: str) -> None:
    body = {
        "enrollment_id": "e-1",
        "contact_id": "ann",
        "enrolled_at": "2026-01-31T10:00:00+01:00",
        "pending_actions": 3,
    }
    answer = client.post(START, json=body)
    [event] = published(redis_url)
    name = "4:acme27:workflow.enrollment.started7:nurture3:e-13:ann"
    derived = str(uuid5(uuid5(NAMESPACE_DNS, "goald"), name))
    assert answer.status_code == 202
    assert answer.json() == {"event_id": derived, "type": "workflow.enrollment.started"}
    assert (event["id"], event["source"], event["tenantid"]) == (derived, "goald/api", "acme")
    assert event["data"] == body | {"workflow_id": "nurture"}
    assert effects(event) == [("e-1", "nurture", "ann", "active")]


def test_start_carries_the_values_of_the_run(client: httpx.Client, redis_url: str) -> None:
    body = {"enrollment_id": "e-1", "contact_id": "ann", "match": {"cart_id": "c-1"}}
    assert client.post(START, json=body).status_code == 202
    (event,) = published(redis_url)
    assert event["data"]["match"] == {"cart_id": "c-1"}


@pytest.mark.parametrize(
    "match",
    [{"cart.id": "c"}, {"cart_id": ""}, {"cart_id": True}, ["cart_id"],
     {f"n{number}": "c" for number in range(5)}],
)  # fmt: skip
def test_invalid_values_of_a_run_get_400(client: httpx.Client, redis_url: str, match: Any) -> None:
    body = {"enrollment_id": "e-1", "contact_id": "ann", "match": match}
    assert client.post(START, json=body).status_code == 400
    assert published(redis_url) == []


def test_repeated_request_publishes_the_same_event(client: httpx.Client, redis_url: str) -> None:
    body = {"enrollment_id": "e-1", "contact_id": "ann"}
    for _ in range(2):
        client.post(START, json=body)
    client.post(START, json=body | {"enrollment_id": "e-2"})
    ids = [event["id"] for event in published(redis_url)]
    assert (len(ids), len(set(ids))) == (3, 2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"enrollment_id": ""},
        {"enrollment_id": None},
        {"contact_id": "a\nb"},
        {"contact_id": 7},
        {"contact_id": "x" * 257},
        {"contact_id": "erased:ann"},
        {"pending_actions": -1},
        {"pending_actions": 1.0},
        {"pending_actions": True},
        {"pending_actions": 2**31},
        {"enrolled_at": "2026-01-31"},
        {"enrolled_at": "2999-01-01T00:00:00Z"},
        {"enrolled_at": 5},
        {"status": "active"},
    ],
)
def test_invalid_body_gets_400_and_publishes_nothing(
    client: httpx.Client, redis_url: str, wrong: dict[str, Any]
) -> None:
    body = {"enrollment_id": "e-1", "contact_id": "ann"} | wrong
    answer = client.post(START, json=body)
    assert (answer.status_code, published(redis_url)) == (400, [])
    assert next(iter(wrong)) in answer.json()["detail"]


def test_end_of_a_known_enrollment_needs_no_contact(
    client: httpx.Client, known: None, redis_url: str
) -> None:
    answer = client.post(END, json={"reason": "completed"})
    assert (answer.status_code, answer.json()["type"]) == (202, "workflow.enrollment.ended")
    [event] = published(redis_url)
    assert effects(event) == [("e-1", "nurture", "ann", "completed")]


def test_unknown_enrollment_gets_404_without_a_contact(
    client: httpx.Client, redis_url: str
) -> None:
    """It may be on its way, behind what was sent a moment ago."""
    assert client.post(END, json={"reason": "exited"}).status_code == 404
    assert published(redis_url) == []
    answer = client.post(END, json={"reason": "exited", "contact_id": "bob"})
    assert answer.status_code == 202
    [event] = published(redis_url)
    assert effects(event) == [("e-1", "nurture", "bob", "exited")]


def test_end_with_another_workflow_contact_or_tenant_is_refused(
    api: Api, client: httpx.Client, known: None, redis_url: str
) -> None:
    body = {"reason": "exited"}
    assert client.post(END.replace("nurture", "other"), json=body).status_code == 404
    assert client.post(END, json=body | {"contact_id": "bob"}).status_code == 409
    assert api.client("globex").post(END, json=body).status_code == 404
    assert published(redis_url) == []


@pytest.mark.parametrize("body", [{}, {"reason": "goal_achieved"}, {"reason": "exited", "x": 1}])
def test_end_requires_a_known_reason(
    client: httpx.Client, known: None, body: dict[str, Any]
) -> None:
    assert client.post(END, json=body).status_code == 400


@pytest.mark.usefixtures("erased")
def test_end_of_an_enrollment_whose_contact_was_deleted(
    client: httpx.Client, redis_url: str
) -> None:
    """The pseudonym is not a contact: its event would be dead-lettered."""
    answer = client.post(END, json={"reason": "exited"})
    assert (answer.status_code, "was deleted" in answer.json()["detail"]) == (409, True)
    assert client.post(END, json={"reason": "exited", "contact_id": "ann"}).status_code == 202
    assert [event["data"]["contact_id"] for event in published(redis_url)] == ["ann"]


def test_units_of_enrollment_events_are_counted(client: httpx.Client, known: None) -> None:
    assert client.post(START, json={"enrollment_id": "e-9", "contact_id": "ann"}).is_success
    assert client.post(END, json={"reason": "exited"}).is_success
    metrics = client.get("/metrics").text
    assert 'goald_api_event_units_total{reason="size"} 2.0' in metrics
