"""The rows of executions that one commit writes, as columns of plain values.

All columns of one dataclass have the same length; row i of each belongs together. Times are
milliseconds since the Unix epoch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Guard(NamedTuple):
    """A transition changes the row of an execution only if it has these values (X3)."""

    step_id: str
    visit: int
    attempt: int
    state: str


@dataclass(frozen=True, slots=True)
class TransitionColumns:
    """Net changes to executions, one row for each execution, as `_native.ExecutionTransitions`."""

    tenant_id: Sequence[str]
    contact_id: Sequence[str]
    slot: Sequence[int]
    workflow_id: Sequence[str]
    execution_id: Sequence[str]
    version: Sequence[int]
    effect: Sequence[int | None]
    """Index of the effect of the same enrollment, if the transition starts or ends the execution.
    Neither is written without the other."""
    guard: Sequence[tuple[str, int, int, str] | None]
    """The fields of `Guard`. None: insert the execution, which needs an effect."""
    state: Sequence[str]
    """The state of the state machine; of an ended execution its last one."""
    status: Sequence[str]
    waiting_for: Sequence[str | None]
    reason: Sequence[str | None]
    """Why it ended; None: it is open."""
    step_id: Sequence[str]
    """Empty at the end of the plan."""
    step_index: Sequence[int]
    """Counted from 1."""
    total_steps: Sequence[int]
    visit: Sequence[int]
    attempt: Sequence[int]
    retry_count: Sequence[int]
    hops: Sequence[int]
    """Never changes."""
    action: Sequence[str | None]
    connection: Sequence[str | None]
    zone: Sequence[str]
    since_ms: Sequence[int]
    """When the wait began, or the step became due."""
    since_seq: Sequence[int]
    """The sequence, within `since_ms`, of the stream entry with which a wait for an event began."""
    due_ms: Sequence[int | None]
    done_steps: Sequence[Sequence[str]]
    """The ids of the steps to add to those that are done."""
    started_at_ms: Sequence[int]
    migrates: Sequence[bool]
    used_event: Sequence[bool]
    used_events: Sequence[Sequence[str]]
    """The keys (UUID) of events that ended its waits, to add to those that did."""
    gate: Sequence[str | None]
    """The gate of the attempt that is out after the transition. None: no job is out."""
    variables: Sequence[str | None]
    """Of a new execution, what its templates need of its start: a JSON object with the `attributes`
    of the request, or the event as `trigger`, if they name it."""

    def __len__(self) -> int:
        return len(self.tenant_id)


@dataclass(frozen=True, slots=True)
class LogColumns:
    """Rows of the log, in order, as `_native.ExecutionLogs`."""

    transition: Sequence[int | None]
    """The row is written only if this transition is. None: it belongs to none, and has its tenant,
    contact, workflow and execution itself, as far as they are known."""
    tenant_id: Sequence[str | None]
    contact_id: Sequence[str | None]
    workflow_id: Sequence[str | None]
    execution_id: Sequence[str | None]
    event_type: Sequence[str]
    at_ms: Sequence[int]
    step_index: Sequence[int | None]
    step_id: Sequence[str | None]
    attempt: Sequence[int]
    duration_ms: Sequence[int | None]
    message: Sequence[str | None]
    user: Sequence[str | None]

    def __len__(self) -> int:
        return len(self.event_type)


class Answer(NamedTuple):
    """The answer to a request about executions, for the API that waits for it."""

    tenant_id: str
    request: str
    """The id of the request's event."""
    slot: int
    answer: str
    execution_id: str | None = None


@dataclass(frozen=True, slots=True)
class ExecutionChange:
    """The rows of executions that one commit writes, with those of their enrollments."""

    transitions: TransitionColumns
    logs: LogColumns
    answers: Sequence[Answer] = ()
    """The first answer of a request is kept."""
