"""`goald executions`: what a person and a program see of executions, and requests without a shard.
The requests that shards answer are tested with a running daemon."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.support.pipeline.changes import NOON, SECOND, Effect
from tests.support.pipeline.executions import ASLEEP, Log, Transition, with_executions
from tests.support.services.commands import Ran
from tests.support.services.servers import Database

from goald.adapters.postgres import PostgresShardStore
from goald.domain.slots import SlotRange

ACME = ("--tenant", "acme")


@pytest.fixture
async def executions(database: Database, streams: object) -> None:
    """x-1 of ann, which sleeps, and x-2 of bob, which is finished."""
    store = PostgresShardStore(database.dsn)
    lease = await store.acquire(SlotRange(0, 255), "test")
    first = Transition("x-1", 0)
    second = Transition("x-2", 1, contact_id="bob")
    effects = [Effect("x-1"), Effect("x-2", contact_id="bob")]
    logs = [Log("execution_started", 0), Log("wait_started", 0), Log("execution_started", 1)]
    await store.commit(lease, with_executions(effects, first, second, logs=logs))
    finished = replace(
        second, effect=0, guard=ASLEEP, status="COMPLETED", reason="finished", due_ms=None
    )
    end = Effect("x-2", contact_id="bob", is_new=False, status="completed", ended_at=NOON + SECOND)
    await store.commit(lease, with_executions([end], finished))
    await store.close()


@pytest.mark.usefixtures("executions")
def test_executions_are_listed_and_shown(run: Callable[..., Ran]) -> None:
    listed = run("executions", "list", "w-1", *ACME, "--json")
    assert [row["id"] for row in json.loads(listed.out)] == ["x-2", "x-1"]
    sleeping = run("executions", "list", "w-1", *ACME, "--status", "paused", "--contact", "ann")
    assert "x-1" in sleeping.out
    assert "x-2" not in sleeping.out
    part = run("executions", "list", "w-1", *ACME, "--limit", "1")
    assert "Showing 1 of 2" in part.out
    described = json.loads(run("executions", "show", "x-1", *ACME, "--json").out)
    assert (described["contact_id"], described["waiting_for"]) == ("ann", "timer")
    assert described["waiting_reason"] in run("executions", "show", "x-1", *ACME).out
    logs = run("executions", "logs", "x-1", *ACME, "--json")
    kinds = [row["event_type"] for row in json.loads(logs.out)]
    assert kinds == ["execution_started", "wait_started"]
    assert "wait_started" in run("executions", "logs", "x-1", *ACME).out


@pytest.mark.usefixtures("executions")
@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (("show", "x-3"), 1, "has no execution x-3"),
        (("logs", "x-3"), 1, "has no execution x-3"),
        (("cancel", "x-3"), 1, "has no execution x-3"),
        (("cancel", "x-2"), 1, "COMPLETED (finished)"),
        (("retry", "x-1"), 1, "PAUSED: only a FAILED one"),
        (("start", "unknown", "--contact", "ann"), 1, "has no workflow unknown"),
        (("list", "w-1", "--status", "LOST"), 2, "--status"),
        (("list", "w-1", "--from", "2026-01-32"), 2, "--from"),
    ],
)
def test_a_request_that_cannot_succeed_fails(
    run: Callable[..., Ran], words: tuple[str, ...], code: int, reason: str
) -> None:
    ran = run("executions", *words, *ACME)
    assert ran.code == code
    assert reason in ran.err


@pytest.mark.usefixtures("executions")
def test_explain_says_where_the_executions_of_a_contact_are(run: Callable[..., Ran]) -> None:
    event = {"type": "contact.tag.added", "data": {"contact_id": "ann", "tag_name": "x"}}
    ran = run("explain", "-", *ACME, stdin=json.dumps(event).encode())
    assert ran.code == 0, ran.err
    assert "PAUSED at step 1 of 3, pause: " in ran.out
