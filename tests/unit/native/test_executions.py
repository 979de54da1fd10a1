"""The binding of the state machine of executions. The property tests cover its rules."""

import struct
from datetime import date
from decimal import Decimal
from typing import Any

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


def trigger(contact: str = "c-1", key: str = "k") -> dict[str, object]:
    return {
        "kind": "trigger",
        "tenant_id": "acme",
        "contact_id": contact,
        "at_ms": NOW_MS,
        "workflow_id": "w-1",
        "key": key,
    }


def evaluate(
    found: _native.Matcher,
    inputs: list[dict[str, object]],
    grants: list[tuple[str, str, str]] | None = None,
) -> _native.ExecutionProposal:
    """Evaluate with rows of contacts and starts about which nothing is known."""
    asked = found.evaluate_executions(inputs, NOW_MS, NOW_MS)
    return found.evaluate_executions(
        inputs,
        NOW_MS,
        NOW_MS,
        grants=grants,
        contacts=[(tenant, contact, {}) for tenant, contact in asked.contact_checks],
        starts=[(tenant, execution, False, None) for tenant, _, _, execution in asked.start_checks],
    )


def execution_row(**changes: str | int | bool) -> bytes:
    values = {
        "tenant_id": "acme", "execution_id": "e-1", "contact_id": "c-1", "workflow_id": "w-1",
        "version": 1, "state": "sleeping", "step_id": "send", "visit": 1, "attempt": 0,
        "retry_count": 0, "hops": 0, "zone": "UTC", "since": NOW_MS, "due_at": NOW_MS,
        "done_steps": "", "migrates": False, "used_event": False, **changes,
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
    transitions = evaluate(found, [trigger()]).transitions
    assert transitions.reason == ["finished"]
    assert transitions.done_steps == [["vip", "leave"]]


def test_a_start_proposes_a_job_and_its_rows() -> None:
    found = matcher(WorkflowDefinition((ACTION,)))
    proposal = evaluate(found, [trigger()])
    transitions = proposal.transitions
    (execution,) = transitions.execution_id
    assert proposal.answers == [(0, "started", execution)]
    assert transitions.slot == [_native.slot_of("acme", "c-1")]
    assert (transitions.guard, transitions.status) == ([None], ["ACTIVE"])
    (job,) = transitions.job
    assert job is not None
    assert job[1:] == ('{"text":"hi"}', 1)
    assert (transitions.action, transitions.connection) == (["noop"], ["crm"])
    assert proposal.logs.event_type == ["execution_started"]
    found.apply_executions(proposal, b"\1")
    assert found.executions_in("running") == [("acme", "c-1", execution)]
    assert found.stats()["enrollments"] == 1


def test_an_execution_without_a_grant_waits_in_the_queue() -> None:
    found = matcher(WorkflowDefinition((ACTION,)))
    proposal = evaluate(found, [trigger()], grants=[])
    assert proposal.transitions.waiting_for == ["limit"]
    found.apply_executions(proposal, b"\1")
    ((*grant, since, has_permit, connection),) = found.queued_executions("acme", 10)
    assert (since, has_permit, connection) == (NOW_MS, False, "crm")
    started = evaluate(found, [], grants=[(grant[0], grant[1], grant[2])])
    assert started.transitions.status == ["ACTIVE"]
    assert started.unused_grants == []


def test_a_proposal_is_stale_when_memory_has_changed() -> None:
    found = matcher(WorkflowDefinition((ACTION,)))
    first, second = (evaluate(found, [trigger(contact)]) for contact in ("c-1", "c-2"))
    found.apply_executions(first, b"\1")
    with pytest.raises(ValueError, match="stale"):
        found.apply_executions(second, b"\1")
    with pytest.raises(ValueError, match="one mark"):
        found.apply_executions(evaluate(found, [trigger("c-2")]), b"\1\1")


def test_a_slice_has_the_rows_of_its_transitions() -> None:
    found = matcher(WorkflowDefinition((ACTION,)))
    late: dict[str, object] = {
        "kind": "result", "tenant_id": "acme", "contact_id": "c-3", "at_ms": NOW_MS,
        "execution_id": "unknown", "step_id": "send", "visit": 1, "attempt": 1,
        "outcome": "success", "duration_ms": 5,
    }  # fmt: skip
    proposal = evaluate(found, [trigger("c-1"), trigger("c-2"), late])
    first, last = proposal.slices(1)
    assert first.logs.event_type == ["execution_started"]
    assert last.logs.event_type == ["execution_started", "late_result"]
    assert (first.answers, len(last.answers)) == ([], 2)
    for piece in (first, last):
        found.apply_executions(piece, b"\1")
    assert len(found.executions_in("running")) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "other"}, "kind has an unknown value"),
        ({"kind": "cancel", "execution_id": "e-1", "reason": "mood"}, "reason has an unknown"),
        ({"kind": "retry"}, "execution_id is missing"),
        ({"kind": "event", "event": b"{}"}, "missing"),
        ({"kind": "event", "event": b"{}", "contact": {"attributes": "[]"}}, "not a JSON object"),
    ],
)
def test_an_invalid_input_is_refused(changes: dict[str, Any], message: str) -> None:
    found = matcher(WorkflowDefinition((ACTION,)))
    with pytest.raises(ValueError, match=message):
        found.evaluate_executions([trigger() | changes], NOW_MS, NOW_MS)


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
    found.apply_executions(evaluate(found, [trigger()]), b"\1")
    found.evict([("acme", "c-1")])
    assert found.executions_in("running") == []
