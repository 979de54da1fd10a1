"""Changes of executions, written by hand in the columns of `_native.ExecutionProposal`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tests.support.pipeline.changes import NOON, Effect, change, goal_id

from goald.ports.change import Change
from goald.ports.executions.change import (
    Answer,
    ExecutionChange,
    Guard,
    LogColumns,
    TransitionColumns,
)

NOON_MS = NOON // 1_000


@dataclass(frozen=True)
class Transition:
    """The net change to one execution; by default the start of one, which sleeps at its step
    `pause`."""

    execution_id: str
    effect: int | None = None
    guard: tuple[str, int, int, str] | None = None
    contact_id: str = "ann"
    workflow_id: str = "w-1"
    tenant_id: str = "acme"
    slot: int = 3
    version: int = 1
    state: str = "sleeping"
    status: str = "PAUSED"
    reason: str | None = None
    step_id: str = "pause"
    step_index: int = 1
    visit: int = 1
    attempt: int = 0
    retry_count: int = 0
    due_ms: int | None = NOON_MS + 60_000
    since_ms: int = NOON_MS
    since_seq: int = 0
    done_steps: Sequence[str] = ()
    used_events: Sequence[str] = ()
    """Names of events."""
    gate: str | None = None
    variables: str | None = None
    started_at_ms: int = NOON_MS


ASLEEP = Guard("pause", 1, 0, "sleeping")
"""The guard of a transition that follows a start."""


@dataclass(frozen=True)
class Log:
    """A row of the log: of a transition, or of a contact and a workflow."""

    event_type: str
    transition: int | None = None
    contact_id: str | None = None
    execution_id: str | None = None
    at_ms: int = NOON_MS
    message: str | None = None


def executions(
    *transitions: Transition, logs: Sequence[Log] = (), answers: Sequence[Answer] = ()
) -> ExecutionChange:
    of = transitions
    columns = TransitionColumns(
        tenant_id=[each.tenant_id for each in of],
        contact_id=[each.contact_id for each in of],
        slot=[each.slot for each in of],
        workflow_id=[each.workflow_id for each in of],
        execution_id=[each.execution_id for each in of],
        version=[each.version for each in of],
        effect=[each.effect for each in of],
        guard=[each.guard for each in of],
        state=[each.state for each in of],
        status=[each.status for each in of],
        waiting_for=["timer" if each.state == "sleeping" else None for each in of],
        reason=[each.reason for each in of],
        step_id=[each.step_id for each in of],
        step_index=[each.step_index for each in of],
        total_steps=[3 for _ in of],
        visit=[each.visit for each in of],
        attempt=[each.attempt for each in of],
        retry_count=[each.retry_count for each in of],
        hops=[2 for _ in of],
        action=["noop" if each.gate else None for each in of],
        connection=[None for _ in of],
        zone=["Europe/Berlin" for _ in of],
        since_ms=[each.since_ms for each in of],
        since_seq=[each.since_seq for each in of],
        due_ms=[each.due_ms for each in of],
        done_steps=[each.done_steps for each in of],
        started_at_ms=[each.started_at_ms for each in of],
        migrates=[False for _ in of],
        used_event=[bool(each.used_events) for each in of],
        used_events=[[goal_id(name) for name in each.used_events] for each in of],
        gate=[each.gate for each in of],
        variables=[each.variables for each in of],
    )
    rows = LogColumns(
        transition=[log.transition for log in logs],
        tenant_id=["acme" for _ in logs],
        contact_id=[log.contact_id for log in logs],
        workflow_id=["w-1" for _ in logs],
        execution_id=[log.execution_id for log in logs],
        event_type=[log.event_type for log in logs],
        at_ms=[log.at_ms for log in logs],
        step_index=[1 for _ in logs],
        step_id=["pause" for _ in logs],
        attempt=[0 for _ in logs],
        duration_ms=[None for _ in logs],
        message=[log.message for log in logs],
        user=[None for _ in logs],
    )
    return ExecutionChange(columns, rows, answers)


def with_executions(
    effects: Sequence[Effect],
    *transitions: Transition,
    logs: Sequence[Log] = (),
    answers: Sequence[Answer] = (),
) -> Change:
    """A change of these enrollments and executions."""
    return replace(
        change(*effects), executions=executions(*transitions, logs=logs, answers=answers)
    )
