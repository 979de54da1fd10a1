"""Executions over HTTP: requests become events that shards answer; lists, status and log."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
import redis
from tests.support.api.client import DEADLINE_S, Api
from tests.support.pipeline.changes import NOON, SECOND, Effect
from tests.support.pipeline.executions import (
    ASLEEP,
    NOON_MS,
    Log,
    Transition,
    with_executions,
)
from tests.support.services.servers import Database

from goald.adapters.postgres import PostgresShardStore
from goald.domain.derived_ids import requested_execution_id
from goald.domain.records.enrollment import EnrollmentStatus
from goald.domain.slots import SlotRange
from goald.domain.times import rfc3339
from goald.ports.change import Change
from goald.ports.executions.change import Answer

WORKFLOW = "/api/v1/workflows/w-1"
EXECUTIONS = f"{WORKFLOW}/executions"
STEPS = {"steps": [{"id": "pause", "wait": {"for": "1h"}}]}
START = {"contact_id": "ann"}


class Shard:
    """Commits what a shard would, and reads the requests on the streams."""

    def __init__(self, database: Database, redis_url: str) -> None:
        self._dsn = database.dsn
        self._redis_url = redis_url
        self._seen: set[bytes] = set()

    def commit(self, change: Change) -> None:
        async def commit() -> None:
            store = PostgresShardStore(self._dsn)
            lease = await store.acquire(SlotRange(0, 255), "a")
            await store.commit(lease, change)
            await store.release(lease)
            await store.close()

        asyncio.run(commit())

    def next_request(self) -> dict[str, Any]:
        """The next event that the API publishes."""
        deadline = time.monotonic() + DEADLINE_S
        with redis.Redis.from_url(self._redis_url) as client:
            while time.monotonic() < deadline:
                for name in client.scan_iter("goald:events:*"):
                    for entry, fields in client.xrange(name):
                        if name + entry not in self._seen:
                            self._seen.add(name + entry)
                            event: dict[str, Any] = json.loads(fields[b"event"])
                            return event
                time.sleep(0.005)
        raise AssertionError("no request is on the streams")

    def count(self) -> int:
        """The number of requests on the streams."""
        with redis.Redis.from_url(self._redis_url) as client:
            return sum(client.xlen(name) for name in client.scan_iter("goald:events:*"))

    def answer(self, answer: str, execution: str | None = None) -> dict[str, Any]:
        """Answer the next request, and return it."""
        request = self.next_request()
        answers = [Answer("acme", request["id"], 3, answer, execution)]
        self.commit(with_executions([], answers=answers))
        return request


@pytest.fixture
def shard(database: Database, redis_url: str) -> Shard:
    return Shard(database, redis_url)


@pytest.fixture
def client(api: Api) -> httpx.Client:
    """Of a tenant with an active workflow that has a published definition."""
    client = api.client("acme", sub="admin")
    client.put(WORKFLOW, json={"name": "w", "goal_logic": "any"}).raise_for_status()
    goal = {"goal_type": "tag_added", "criteria": {"tag_name": "x"}}
    client.post(f"{WORKFLOW}/goals", json=goal).raise_for_status()
    client.put(f"{WORKFLOW}/definition", json=STEPS).raise_for_status()
    client.post(f"{WORKFLOW}/publish").raise_for_status()
    client.post(f"{WORKFLOW}/activate").raise_for_status()
    return client


@contextmanager
def sent(call: Callable[[], httpx.Response]) -> Iterator["Future[httpx.Response]"]:
    """Send a request that waits for a shard."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(call)


def started(execution: str, at: int = 0, **more: Any) -> Change:
    """The start of an execution, which sleeps at its first step."""
    start = Transition(execution, 0, started_at_ms=NOON_MS + at, **more)
    return with_executions([Effect(execution)], start, logs=[Log("execution_started", 0)])


def ended(execution: str, reason: str, message: str) -> Change:
    status = "CANCELLED" if reason == "user" else "COMPLETED"
    end = Transition(
        execution, 0, ASLEEP, state="sleeping", status=status, reason=reason, due_ms=None
    )
    of_enrollment: EnrollmentStatus = "cancelled" if reason == "user" else "completed_goal"
    effect = Effect(execution, is_new=False, status=of_enrollment, ended_at=NOON + SECOND)
    kind = "execution_cancelled" if reason == "user" else "goal_achieved"
    return with_executions([effect], end, logs=[replace(Log(kind, 0), message=message)])


def test_a_trigger_gets_the_id_of_its_execution(client: httpx.Client, shard: Shard) -> None:
    body = {**START, "attributes": {"coupon": "SPRING"}}
    with sent(lambda: client.post(EXECUTIONS, json=body)) as answer:
        request = shard.answer("started", "x-1")
        assert (answer.result().status_code, answer.result().json()) == (
            201,
            {"id": "x-1", "status": "QUEUED"},
        )
    assert request["type"] == "workflow.execution.requested"
    assert {**request["data"], "key": ""} == {**body, "workflow_id": "w-1", "key": ""}


@pytest.mark.parametrize(
    ("answer", "status", "detail"),
    [
        ("duplicate", 200, "duplicate trigger ignored"),
        ("opted_out", 403, "Contact has opted out"),
        ("inactive_workflow", 400, "Workflow is not active"),
        ("already_running", 409, "The contact is in the workflow already"),
        ("not_allowed_again", 409, "reentry"),
    ],
)
def test_a_refused_trigger_says_why(
    client: httpx.Client, shard: Shard, answer: str, status: int, detail: str
) -> None:
    shard.commit(started("x-1"))
    with sent(lambda: client.post(EXECUTIONS, json=START)) as response:
        shard.answer(answer)
        found = response.result()
    assert found.status_code == status
    assert detail in found.text
    if answer == "duplicate":
        assert (found.json()["id"], found.json()["status"]) == ("x-1", "PAUSED")
    elif status == 409:
        assert found.json()["execution_id"] == "x-1"


def test_a_trigger_of_a_workflow_that_cannot_run_is_not_sent(
    client: httpx.Client, redis_url: str
) -> None:
    unknown = client.post("/api/v1/workflows/unknown/executions", json=START)
    assert unknown.status_code == 404
    client.put("/api/v1/workflows/goals", json={"name": "g", "goal_logic": "any"})
    goal = {"goal_type": "tag_added", "criteria": {"tag_name": "x"}}
    client.post("/api/v1/workflows/goals/goals", json=goal).raise_for_status()
    client.post("/api/v1/workflows/goals/activate").raise_for_status()
    without = client.post("/api/v1/workflows/goals/executions", json=START)
    assert (without.status_code, "no published definition" in without.text) == (400, True)
    client.post(f"{WORKFLOW}/deactivate").raise_for_status()
    inactive = client.post(EXECUTIONS, json=START)
    assert (inactive.status_code, inactive.json()["detail"]) == (400, "Workflow is not active")
    with redis.Redis.from_url(redis_url) as streams:
        assert list(streams.scan_iter("goald:events:*")) == []


def test_a_trigger_without_an_answer_can_be_repeated(client: httpx.Client, shard: Shard) -> None:
    headers = {"Idempotency-Key": "k-1"}
    later = client.post(EXECUTIONS, json=START, headers=headers)
    execution = requested_execution_id("acme", "w-1", "ann", "k-1")
    assert (later.status_code, later.json()["id"]) == (202, execution)
    shard.answer("started", execution)
    again = client.post(EXECUTIONS, json=START, headers=headers)
    assert (again.status_code, again.json()) == (201, {"id": execution, "status": "QUEUED"})
    assert shard.count() == 1
    kept = client.post(EXECUTIONS, json=START, headers=headers)
    assert (kept.status_code, kept.headers["idempotency-replayed"]) == (201, "true")


def test_an_execution_says_where_it_is_and_why_it_waits(client: httpx.Client, shard: Shard) -> None:
    shard.commit(started("x-1"))
    found = client.get("/api/v1/executions/x-1").json()
    assert found == {
        "id": "x-1",
        "workflow_id": "w-1",
        "contact_id": "ann",
        "version": 1,
        "status": "PAUSED",
        "completion_reason": None,
        "waiting_for": found["waiting_for"],
        "waiting_reason": found["waiting_reason"],
        "step_id": "pause",
        "current_step_index": 1,
        "total_steps": 3,
        "progress_percent": 33,
        "retry_count": 0,
        "connection": None,
        "due_at": rfc3339(NOON + 60 * SECOND),
        "done_steps": [],
        "created_at": rfc3339(NOON),
        "updated_at": found["updated_at"],
        "ended_at": None,
    }
    assert client.get("/api/v1/executions/x-2").status_code == 404


def test_executions_are_listed_by_cursor_and_by_number(client: httpx.Client, shard: Shard) -> None:
    day = 86_400_000
    for number in range(3):
        shard.commit(started(f"x-{number}", number * day))

    def listed(**query: Any) -> list[str]:
        answer = client.get(EXECUTIONS, params=query)
        assert answer.status_code == 200, answer.text
        return [row["id"] for row in answer.json()["items"]]

    assert listed() == ["x-2", "x-1", "x-0"]
    first = client.get(EXECUTIONS, params={"limit": 2}).json()
    assert listed(limit=2, cursor=first["next_cursor"]) == ["x-0"]
    second = client.get(EXECUTIONS, params={"limit": 2, "page": 2}).json()
    assert [row["id"] for row in second["items"]] == ["x-0"]
    pages = {name: second[name] for name in ("total", "page", "limit", "total_pages")}
    assert pages == {"total": 3, "page": 2, "limit": 2, "total_pages": 2}
    assert second["total_is_estimate"] is False
    days = {
        each: time.strftime("%Y-%m-%d", time.gmtime(NOON / 1e6 + each * 86_400)) for each in (0, 1)
    }
    assert listed(**{"from": days[1]}) == ["x-2", "x-1"]
    assert listed(to=days[0]) == ["x-0"]
    assert listed(**{"from": days[1], "to": days[1], "status": "PAUSED"}) == ["x-1"]
    assert listed(status="FAILED") == []
    assert listed(contact_id="ann", page=1) == ["x-2", "x-1", "x-0"]
    for query in (
        {"page": 2, "cursor": first["next_cursor"]},
        {"page": 10_001, "limit": 200},
        {"from": "2026-01-32"},
        {"status": "LOST"},
    ):
        assert client.get(EXECUTIONS, params=query).status_code == 400, query
    assert client.get("/api/v1/workflows/unknown/executions").status_code == 404


def test_the_log_has_pages(client: httpx.Client, shard: Shard) -> None:
    shard.commit(started("x-1"))
    shard.commit(ended("x-1", "user", "user"))
    found = client.get("/api/v1/executions/x-1/logs", params={"page": 2, "limit": 1}).json()
    pages = {name: found[name] for name in ("total", "page", "limit", "total_pages")}
    assert pages == {"total": 2, "page": 2, "limit": 1, "total_pages": 2}
    (row,) = found["items"]
    assert (row["execution_id"], row["event_type"]) == ("x-1", "execution_cancelled")
    assert client.get("/api/v1/executions/x-2/logs").status_code == 404


def test_the_log_of_an_action_hides_its_fields(client: httpx.Client, shard: Shard) -> None:
    secret = {"url": "https://example.com/hook?key=secret-1", "body": {"to": "ann@example.com"}}
    inner = [{"id": "pause", "action": "webhook", "with": secret}]
    steps = [{"id": "vip", "condition": {"has_tag": "VIP"}, "then": inner}]
    client.put(f"{WORKFLOW}/definition", json={"steps": steps}).raise_for_status()
    client.post(f"{WORKFLOW}/publish").raise_for_status()
    start = Transition("x-1", 0, version=2)
    logs = [Log("execution_started", 0), Log("action_completed", 0)]
    shard.commit(with_executions([Effect("x-1")], start, logs=logs))
    answer = client.get("/api/v1/executions/x-1/logs")
    begun, action = answer.json()["items"]
    assert (begun["status"], begun["action_config"]) == (None, None)
    assert (action["status"], action["contact_id"]) == ("SUCCESS", "ann")
    assert action["action_config"] == {"url": "***", "body": "***"}
    assert "secret-1" not in answer.text
    assert "ann@" not in answer.text


@pytest.mark.parametrize(
    ("message", "in_flight"), [("user", False), ("user: action in flight", True)]
)
def test_a_cancellation_says_whether_a_call_was_in_flight(
    client: httpx.Client, shard: Shard, message: str, in_flight: bool
) -> None:
    shard.commit(started("x-1"))
    with sent(lambda: client.post("/api/v1/executions/x-1/cancel")) as answer:
        shard.commit(ended("x-1", "user", message))
        request = shard.answer("accepted")
        found = answer.result()
    assert found.status_code == 200, found.text
    body = found.json()
    assert (body["status"], body["completion_reason"]) == ("CANCELLED", "user")
    assert body["action_in_flight"] is in_flight
    assert request["data"] == {"contact_id": "ann", "execution_id": "x-1", "user": "admin"}

    again = client.post("/api/v1/executions/x-1/cancel")
    assert (again.status_code, again.json()["execution_status"]) == (409, "CANCELLED")


def test_an_exit_that_was_first_wins(client: httpx.Client, shard: Shard) -> None:
    shard.commit(started("x-1"))
    with sent(lambda: client.post("/api/v1/executions/x-1/cancel")) as answer:
        shard.commit(ended("x-1", "goal_achieved", ""))
        shard.answer("not_found")
        found = answer.result()
    body = found.json()
    assert (found.status_code, body["execution_status"], body["completion_reason"]) == (
        409, "COMPLETED", "goal_achieved",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "status"),
    [("accepted", 200), ("opted_out", 403), ("inactive_workflow", 400), ("not_failed", 409)],
)
def test_a_failed_execution_is_retried(
    client: httpx.Client, shard: Shard, answer: str, status: int
) -> None:
    shard.commit(started("x-1", status="FAILED", state="failed", retry_count=3, due_ms=None))
    with sent(lambda: client.post("/api/v1/executions/x-1/retry")) as response:
        request = shard.answer(answer)
        assert response.result().status_code == status, response.result().text
    assert request["type"] == "workflow.execution.retry_requested"


def test_only_a_failed_execution_is_retried(client: httpx.Client, shard: Shard) -> None:
    shard.commit(started("x-1"))
    answer = client.post("/api/v1/executions/x-1/retry")
    assert (answer.status_code, answer.json()["execution_status"]) == (409, "PAUSED")


def test_explain_needs_a_scope_to_say_where_an_execution_is(
    api: Api, client: httpx.Client, shard: Shard
) -> None:
    shard.commit(started("x-1"))
    event = {"type": "contact.tag.added", "data": {"contact_id": "ann", "tag_name": "x"}}
    (found,) = client.post("/api/v1/explain", json=event).json()["enrollments"]
    assert found["execution"] == {
        "version": 1,
        "status": "PAUSED",
        "step_id": "pause",
        "current_step_index": 1,
        "total_steps": 3,
        "waiting_for": "timer",
        "waiting_reason": f"Its step waits until {found['execution']['due_at']}.",
        "due_at": rfc3339(NOON + 60 * SECOND),
    }
    reader = api.client("acme", "workflows:read")
    (found,) = reader.post("/api/v1/explain", json=event).json()["enrollments"]
    assert found["execution"] is None
