"""The binding of the state machine of executions. The property tests cover its rules."""

import json
import struct
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgpack
import pytest
from tests.support.pipeline.dict_store import COPY_HEADER, COPY_TRAILER, copy_row
from tests.support.time_zones import tzif

from goald import _native
from goald.domain.definitions.compiler import compile_plan
from goald.domain.definitions.conditions import AllOf, AnyOf, AttributeTest, Not, TagTest
from goald.domain.definitions.encoder import encode_plan
from goald.domain.definitions.steps import (
    ActionStep,
    ClockWait,
    ConditionStep,
    DurationWait,
    ErrorPolicy,
    EventPattern,
    EventWait,
    ExitStep,
    Reentry,
    WorkflowDefinition,
)

NOW_MS = 1_780_308_000_000
ACTION = ActionStep("send", "noop", {"text": "hi"}, connection="crm")


def matcher(definition: WorkflowDefinition) -> _native.Matcher:
    found = _native.Matcher()
    found.update_plans([plans(definition)])
    return found


def plans(definition: WorkflowDefinition, **changes: object) -> dict[str, object]:
    return {
        "tenant_id": "acme",
        "workflow_id": "w-1",
        "is_active": True,
        "current_version": 1,
        "versions": [(1, encode_plan(compile_plan(definition)))],
    } | changes


def trigger(contact: str = "c-1", key: str = "k") -> bytes:
    """A request to start an execution."""
    return event("workflow.execution.requested", contact, {"workflow_id": "w-1", "key": key})


def event(name: str, contact: str, data: dict[str, Any]) -> bytes:
    payload = {
        "id": f"{name}-{contact}", "source": "test", "type": name, "time": NOW_MS / 1_000,
        "tenantid": "acme", "data": {"contact_id": contact, **data},
    }  # fmt: skip
    return json.dumps(payload).encode()


def evaluate(
    found: _native.Matcher,
    events: Sequence[bytes],
    grants: list[tuple[str, str, str]] | None = None,
    **options: object,
) -> _native.Proposal:
    """Evaluate with rows of contacts and starts about which nothing is known."""
    entries = [(f"{NOW_MS}-{number}".encode(), event) for number, event in enumerate(events)]
    buffers, now_us = [_native.buffer_of(entries)], NOW_MS * 1_000
    given = {"watermark_ms": NOW_MS, "grants": grants, **options}
    asked = found.evaluate(buffers, now_us, executions=given).executions
    if asked is None:
        return found.evaluate(buffers, now_us, executions=given)
    facts = {
        "contacts": [(tenant, contact, at, {}) for tenant, contact, at, *_ in asked.contact_checks],
        "starts": [(tenant, id_, False, None) for tenant, _, _, id_ in asked.start_checks],
    }
    return found.evaluate(buffers, now_us, executions=given | facts)


def rows_of(proposal: _native.Proposal) -> _native.ExecutionProposal:
    assert proposal.executions is not None
    return proposal.executions


def apply(found: _native.Matcher, proposal: _native.Proposal) -> None:
    transitions = len(rows_of(proposal).transitions)
    found.apply(proposal, b"\1" * len(proposal.effects), b"\1" * transitions)


def execution_row(**changes: str | int | bool) -> bytes:
    values = {
        "tenant_id": "acme", "execution_id": "e-1", "contact_id": "c-1", "workflow_id": "w-1",
        "version": 1, "state": "sleeping", "step_id": "send", "visit": 1, "attempt": 0,
        "retry_count": 0, "hops": 0, "zone": "UTC", "since": NOW_MS, "due_at": NOW_MS,
        "done_steps": "", "migrates": False, "used_event": False, "since_seq": 0, **changes,
    }  # fmt: skip
    fields = []
    for value in values.values():
        if isinstance(value, bool):
            fields.append(bytes([value]))
        else:
            fields.append(struct.pack(">q", value) if isinstance(value, int) else value.encode())
    head = struct.pack(">h", len(fields))
    return head + b"".join(struct.pack(">i", len(field)) + field for field in fields)


def test_every_part_of_a_compiled_definition_is_read() -> None:
    pro = AttributeTest("plan", "in", ("pro", Decimal("10.50"), True))
    tag = TagTest(None, "VIP")
    form = EventPattern("form_submitted", {"form_id": "f-1"})
    changed = EventPattern("contact.updated", changed=("plan",), condition=Not(pro))
    definition = WorkflowDefinition(
        steps=(
            ConditionStep("vip", AllOf((tag, AnyOf((pro, tag)))), (ACTION,), (ExitStep("leave"),)),
            DurationWait("pause", 90_000_000),
            ClockWait("morning", 32_400, frozenset(range(5)), None, "Europe/Berlin"),
            ClockWait("day", 0, day=date(2026, 6, 1)),
            EventWait("reply", changed, 60_000_000, (DurationWait("more", 1),)),
            ActionStep(
                "last", "webhook", {}, None, ErrorPolicy(1, 2, "continue", "fail", "retry"), 3
            ),
        ),
        trigger=form,
        reentry=Reentry("once", 86_400_000_000),
        timezone="Europe/Berlin",
    )
    found = matcher(definition)
    found.set_zones([("Europe/Berlin", tzif("Europe/Berlin"))])
    transitions = rows_of(evaluate(found, [trigger()])).transitions
    assert transitions.reason == ["finished"]
    assert transitions.done_steps == [["vip", "leave"]]


def test_a_start_proposes_a_job_and_its_rows() -> None:
    found = matcher(WorkflowDefinition((ACTION,)))
    proposal = evaluate(found, [trigger()])
    rows = rows_of(proposal)
    transitions = rows.transitions
    (execution,) = transitions.execution_id
    request = "workflow.execution.requested-c-1"
    assert rows.answers == [(None, request, "acme", "c-1", "started", execution)]
    assert (proposal.effects.enrollment_id, transitions.effect) == ([execution], [0])
    assert transitions.slot == [_native.slot_of("acme", "c-1")]
    assert (transitions.guard, transitions.status) == ([None], ["ACTIVE"])
    (job,) = transitions.job
    assert job is not None
    assert job[1:] == ('{"text":"hi"}', 1)
    assert (transitions.action, transitions.connection) == (["noop"], ["crm"])
    assert rows.logs.event_type == ["execution_started"]
    apply(found, proposal)
    assert found.executions_in("running") == [("acme", "c-1", execution)]
    assert found.stats()["enrollments"] == 1


def test_an_execution_without_a_grant_waits_in_the_queue() -> None:
    found = matcher(WorkflowDefinition((ACTION,)))
    proposal = evaluate(found, [trigger()], grants=[])
    assert rows_of(proposal).transitions.waiting_for == ["limit"]
    apply(found, proposal)
    assert found.execution_queues() == [("acme", "noop", "crm", 1)]
    ((*grant, since, has_permit),) = found.queued_executions("acme", "noop", "crm", 10)
    assert (since, has_permit) == (NOW_MS, False)
    assert found.queued_executions("acme", "noop", None, 10) == []
    started = rows_of(evaluate(found, [], grants=[(grant[0], grant[1], grant[2])]))
    assert started.transitions.status == ["ACTIVE"]
    assert started.unused_grants == []


def test_a_proposal_is_stale_when_memory_has_changed() -> None:
    found = matcher(WorkflowDefinition((ACTION,)))
    first, second = (evaluate(found, [trigger(contact)]) for contact in ("c-1", "c-2"))
    apply(found, first)
    with pytest.raises(ValueError, match="stale"):
        apply(found, second)
    with pytest.raises(ValueError, match="one mark"):
        found.apply(evaluate(found, [trigger("c-2")]), b"\1", b"")


def test_a_slice_has_the_rows_of_its_transitions() -> None:
    found = matcher(WorkflowDefinition((ACTION,)))
    late = event("workflow.action.finished", "c-3", {
        "execution_id": "unknown", "step_id": "send", "visit": 1, "attempt": 1,
        "outcome": "success", "duration_ms": 5,
    })  # fmt: skip
    proposal = evaluate(found, [trigger("c-1"), trigger("c-2"), late])
    slices = proposal.slices(2, 1 << 40)
    first, last = map(rows_of, slices)
    assert first.logs.event_type == ["execution_started"]
    assert last.logs.event_type == ["execution_started", "late_result"]
    assert (first.answers, len(last.answers)) == ([], 2)
    assert (first.transitions.effect, last.transitions.effect) == ([0], [0])
    for piece in slices:
        apply(found, piece)
    assert len(found.executions_in("running")) == 2


def test_a_goal_ends_the_execution_and_closes_its_gate() -> None:
    found = matcher(WorkflowDefinition((ACTION,)))
    goal = {
        "id": str(UUID(int=1)), "goal_type": "purchase_made", "is_active": True,
        "criteria": '{"any_purchase": true}', "effective_from": 0, "created_at": 0, "position": 0,
    }  # fmt: skip
    found.update_workflows([{
        "tenant_id": "acme", "workflow_id": "w-1", "goal_logic": "any", "is_active": True,
        "goals": [goal],
    }])  # fmt: skip
    apply(found, evaluate(found, [trigger()]))
    ((_, _, execution),) = found.executions_in("running")
    result = event("workflow.action.finished", "c-1", {
        "execution_id": execution, "step_id": "send", "visit": 1, "attempt": 1,
        "outcome": "success", "duration_ms": 5,
    })  # fmt: skip
    proposal = evaluate(found, [result, event("payment.completed", "c-1", {})])
    transitions = rows_of(proposal).transitions
    assert (proposal.effects.status, len(proposal.exits)) == (["completed_goal"], 1)
    assert (transitions.reason, transitions.effect) == (["goal_achieved"], [0])
    assert (transitions.closes_gate, transitions.job) == ([True], [None])
    assert len(proposal.slices(1, 1)) == 1
    apply(found, proposal)
    assert found.stats()["enrollments"] == 0


def test_an_event_that_executions_cannot_read_is_dead_lettered() -> None:
    found = matcher(WorkflowDefinition((ACTION,)))
    proposal = evaluate(found, [event("workflow.execution.requested", "c-1", {"key": "k"})])
    assert [reason for _, _, reason, _ in proposal.rejects] == [
        "data.workflow_id is missing or invalid"
    ]


def test_a_tenant_without_plans_has_no_executions() -> None:
    found = _native.Matcher()
    proposal = evaluate(found, [trigger()])
    assert (proposal.executions, proposal.ignored) == (None, 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "other"}, "kind has an unknown value"),
        ({"kind": "cancel", "execution_id": "e-1", "reason": "mood"}, "reason has an unknown"),
        ({"kind": "migrate"}, "execution_id is missing"),
    ],
)
def test_an_invalid_input_is_refused(changes: dict[str, Any], message: str) -> None:
    found = matcher(WorkflowDefinition((ACTION,)))
    common = {"tenant_id": "acme", "contact_id": "c-1", "at_ms": NOW_MS}
    with pytest.raises(ValueError, match=message):
        evaluate(found, [], inputs=[common | changes])
    with pytest.raises(ValueError, match="not a JSON object"):
        evaluate(found, [], contacts=[("acme", "c-1", 0, {"attributes": "[]"})])


def test_an_invalid_configuration_is_refused() -> None:
    found = _native.Matcher()
    broken = plans(WorkflowDefinition((ACTION,)), versions=[(1, msgpack.packb([9]))])
    with pytest.raises(ValueError, match=r"workflow w-1 of tenant acme, version 1: .* format 9"):
        found.update_plans([broken])
    with pytest.raises(ValueError, match="overdue has an unknown value"):
        found.update_plans([plans(WorkflowDefinition((ACTION,)), overdue="later")])
    with pytest.raises(ValueError, match="time zone Mars/Base"):
        found.set_zones([("Mars/Base", b"no zone")])
    with pytest.raises(ValueError, match="state has an unknown value"):
        found.executions_in("happy")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"contact_id": "c-2"}, "no enrollment in memory"),
        ({"workflow_id": "w-2"}, "version of an execution is not configured"),
        ({"version": 2}, "version of an execution is not configured"),
        ({"step_id": "other"}, "no step other"),
        ({"state": "asleep"}, "not a state"),
        ({"visit": 70_000}, "visit is out of range"),
    ],
)
def test_rows_that_memory_cannot_hold_are_refused(changes: dict[str, Any], message: str) -> None:
    found = matcher(WorkflowDefinition((ACTION,)))
    found.load(
        COPY_HEADER + copy_row("acme", "e-1", "c-1", "w-1", NOW_MS * 1_000, []) + COPY_TRAILER
    )
    with pytest.raises(ValueError, match=message):
        found.load_executions(COPY_HEADER + execution_row(**changes) + COPY_TRAILER)
    assert found.load_executions(COPY_HEADER + execution_row() + COPY_TRAILER) == 1
    assert found.load_executions_ended()


def test_evicted_enrollments_take_their_executions_with_them() -> None:
    found = matcher(WorkflowDefinition((ACTION,)))
    apply(found, evaluate(found, [trigger()]))
    found.evict([("acme", "c-1")])
    assert found.executions_in("running") == []


def test_an_execution_fails_after_the_last_attempt_that_can_be_numbered() -> None:
    found = matcher(WorkflowDefinition((ACTION,)))
    enrollment = copy_row("acme", "e-1", "c-1", "w-1", NOW_MS * 1_000, [])
    found.load(COPY_HEADER + enrollment + COPY_TRAILER)
    row = execution_row(state="ready", attempt=65_535)
    found.load_executions(COPY_HEADER + row + COPY_TRAILER)
    rows = rows_of(evaluate(found, [], grants=[("acme", "c-1", "e-1")]))
    assert (rows.transitions.state, rows.transitions.job) == (["failed"], [None])
    assert "max_retries_exhausted" in rows.logs.event_type


def test_executions_that_have_a_permit_are_first_in_their_queue() -> None:
    found = matcher(WorkflowDefinition((ACTION,)))
    rows = [
        ("e-1", "queued", NOW_MS - 10),
        ("e-2", "queued", NOW_MS - 20),
        ("e-3", "ready", NOW_MS),
    ]
    enrollments = [copy_row("acme", id_, "c-1", "w-1", NOW_MS * 1_000, []) for id_, *_ in rows]
    found.load(COPY_HEADER + b"".join(enrollments) + COPY_TRAILER)
    executions = [
        execution_row(execution_id=id_, state=state, since=since) for id_, state, since in rows
    ]
    found.load_executions(COPY_HEADER + b"".join(executions) + COPY_TRAILER)
    queued = found.queued_executions("acme", "noop", "crm", 10)
    assert [id_ for _, _, id_, *_ in queued] == ["e-3", "e-2", "e-1"]
    assert found.execution_queues() == [("acme", "noop", "crm", 3)]
