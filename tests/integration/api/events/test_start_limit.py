"""Starts beyond the limit of a contact are refused over HTTP, as far as Postgres shows it (E5)."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import redis
from prometheus_client import CollectorRegistry
from tests.support.api.client import Api
from tests.support.pipeline.changes import NOON, Effect, change
from tests.support.services.commands import events_in
from tests.support.services.servers import Database

from goald.adapters.memory.clock import ManualClock
from goald.adapters.postgres import PostgresShardStore
from goald.api.admission.starts import StartAdmission
from goald.domain.errors import ServiceUnavailable
from goald.domain.slots import SlotRange
from goald.domain.times import rfc3339
from goald.metrics.api import AdmissionMetrics
from goald.pipeline.intake import AcceptedEvent, Start
from goald.pipeline.start_check import MAX_CONTACTS, StartCheck
from goald.ports.contacts import StartState

START = "/api/v1/workflows/nurture/enrollments"
EVENTS = "/api/v1/events"
PROBLEM = "urn:goald:problem:enrollment-limit"
REASON = "the contact has 2 active enrollments, which is the limit "
REASON += "(GOALD_MAX_ENROLLMENTS_PER_CONTACT)"


@pytest.fixture
async def full(database: Database) -> None:
    """Ann has two active enrollments and an ended one; Bob has an active one."""
    store = PostgresShardStore(database.dsn)
    lease = await store.acquire(SlotRange(0, 255), "test")
    ended = Effect("e-3", workflow_id="nurture", status="exited", ended_at=NOON)
    active = (
        Effect(id_, contact, "nurture")
        for id_, contact in (("e-1", "ann"), ("e-2", "ann"), ("e-4", "bob"))
    )
    await store.commit(lease, change(*active, ended))
    await store.release(lease)
    await store.close()


@pytest.fixture
def client(make_api: Callable[..., Api], full: None) -> httpx.Client:
    return make_api(max_enrollments_per_contact=2).client("acme", "events:write")


def start(enrollment: str, contact: str = "ann") -> dict[str, Any]:
    return {
        "id": f"start-{enrollment}",
        "source": "test",
        "type": "workflow.enrollment.started",
        "time": "2026-01-31T10:00:00Z",
        "data": {"contact_id": contact, "workflow_id": "nurture", "enrollment_id": enrollment},
    }


def published(redis_url: str) -> list[str]:
    with redis.Redis.from_url(redis_url) as connection:
        return [event["data"]["enrollment_id"] for event in events_in(connection)]


def test_start_beyond_the_limit_gets_409_and_is_not_published(
    client: httpx.Client, redis_url: str
) -> None:
    answer = client.post(START, json={"enrollment_id": "e-9", "contact_id": "ann"})
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": PROBLEM,
        "title": "Enrollment limit reached",
        "status": 409,
        "detail": REASON,
    }
    assert published(redis_url) == []


@pytest.mark.parametrize(
    ("enrollment", "contact"), [("e-1", "ann"), ("e-3", "ann"), ("e-9", "bob"), ("e-9", "cyd")]
)
def test_repeat_and_start_below_the_limit_are_published(
    client: httpx.Client, redis_url: str, enrollment: str, contact: str
) -> None:
    began = {"enrolled_at": rfc3339(NOON)}
    body = {"enrollment_id": enrollment, "contact_id": contact} | began
    answer = client.post(START, json=body)
    assert (answer.status_code, published(redis_url)) == (202, [enrollment])


def test_contact_of_another_tenant_is_not_counted(
    make_api: Callable[..., Api], full: None, redis_url: str
) -> None:
    other = make_api(max_enrollments_per_contact=2).client("globex", "events:write")
    answer = other.post(START, json={"enrollment_id": "e-9", "contact_id": "ann"})
    assert (answer.status_code, published(redis_url)) == (202, ["e-9"])


def test_list_is_accepted_without_the_starts_beyond_the_limit(
    client: httpx.Client, redis_url: str
) -> None:
    events = [start("e-9"), start("e-1"), start("b-1", "bob"), start("b-2", "bob"), {}]
    answer = client.post(EVENTS, json=events)
    assert answer.status_code == 202
    assert answer.json()["accepted"] == 2
    refused = answer.json()["refused"]
    assert [each["index"] for each in refused] == [0, 3, 4]
    assert refused[0] == {"index": 0, "id": "start-e-9", "reason": REASON}
    assert sorted(published(redis_url)) == ["b-1", "e-1"]


def test_start_behind_an_end_of_the_same_contact_is_left_to_the_shard(
    client: httpx.Client, redis_url: str
) -> None:
    end = start("e-1") | {"id": "end-e-1", "type": "workflow.enrollment.ended"}
    end["data"] = end["data"] | {"reason": "exited"}
    answer = client.post(EVENTS, json=[end, start("e-9"), start("e-8", "bob")])
    assert (answer.status_code, answer.json()["accepted"]) == (202, 3)
    assert sorted(published(redis_url)) == ["e-1", "e-8", "e-9"]


def test_list_of_starts_beyond_the_limit_gets_409(client: httpx.Client, redis_url: str) -> None:
    answer = client.post(EVENTS, json=[start("e-8"), start("e-9")])
    assert (answer.status_code, answer.json()["type"]) == (409, PROBLEM)
    assert [each["index"] for each in answer.json()["refused"]] == [0, 1]
    invalid_too = client.post(EVENTS, json=[start("e-8"), {}])
    assert (invalid_too.status_code, invalid_too.json()["type"]) == (400, "about:blank")
    assert published(redis_url) == []


def test_dry_run_shows_that_a_start_would_be_refused(
    make_api: Callable[..., Api], full: None
) -> None:
    reader = make_api(max_enrollments_per_contact=2).client("acme")
    reasons = [
        reader.post("/api/v1/explain", json=start(*each)).json()["reason"]
        for each in (("e-9",), ("e-1",), ("e-9", "bob"))
    ]
    assert reasons == [REASON, "other event type", "other event type"]


class Reader:
    """Counts the calls, and fails while `error` is set."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.contacts: list[list[str]] = []

    async def start_state(self, tenant: str, contacts: Any, enrollments: Any) -> StartState:
        self.contacts.append(list(contacts))
        if self.error is not None:
            raise self.error
        return StartState({}, dict.fromkeys(contacts, 1), {}, {})


def accepted(enrollment: str, contact: str) -> AcceptedEvent:
    payload = json.dumps(start(enrollment, contact)).encode()
    return AcceptedEvent(contact, payload, start=Start(enrollment, "w", 0))


async def test_starts_are_admitted_while_postgres_is_unavailable() -> None:
    reader, clock = Reader(), ManualClock()
    metrics = AdmissionMetrics(CollectorRegistry())
    admission = StartAdmission(StartCheck(reader, max_active=1), clock, metrics)
    events = [accepted("e-1", "ann")]
    assert [each.reason for each in (await admission.admit("acme", events))[1]]
    reader.error = ServiceUnavailable("Postgres is down")
    for _ in range(2):
        assert await admission.admit("acme", events) == (events, [])
    assert len(reader.contacts) == 2, "Postgres was asked again immediately"
    await admission.admit("globex", events)
    assert len(reader.contacts) == 3, "the limit is not checked for another tenant"
    reader.error = None
    await clock.advance(1.5)
    assert (await admission.admit("acme", events))[0] == []


async def test_only_the_contacts_with_the_most_starts_are_looked_up() -> None:
    reader = Reader()
    events = [accepted(f"x-{n}", f"c-{n}") for n in range(3 * MAX_CONTACTS)]
    events += [accepted("a-1", "ann"), accepted("a-2", "ann")]
    refused = await StartCheck(reader, max_active=2).refused("acme", events)
    [contacts] = reader.contacts
    assert len(contacts) == MAX_CONTACTS
    assert list(refused) == [len(events) - 1], "ann's second start"
