"""Executions, and the rows of their log. Times are microseconds since the Unix epoch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from goald.domain.ids import ContactId, EnrollmentId, WorkflowId

ExecutionStatus = Literal["QUEUED", "ACTIVE", "PAUSED", "FAILED", "COMPLETED", "CANCELLED"]

PHASES: Final = ("live", "failed", "completed", "cancelled")
_ENDED: Final = {"FAILED": "failed", "COMPLETED": "completed", "CANCELLED": "cancelled"}


def phase_of(status: ExecutionStatus) -> str:
    """The phase of a status: it changes only at an end, a failure and a manual retry."""
    return _ENDED.get(status, "live")


@dataclass(frozen=True, slots=True)
class Execution:
    """One contact's run through one version of a definition."""

    id: EnrollmentId
    workflow_id: WorkflowId
    contact_id: ContactId
    version: int
    status: ExecutionStatus
    completion_reason: str | None
    waiting_for: str | None
    step_id: str
    """Empty at the end."""
    current_step_index: int
    """The step that is being processed, or the next one; counted from 1."""
    total_steps: int
    retry_count: int
    connection: str | None
    """Of the action at which it is."""
    due_at: int | None
    done_steps: Sequence[str]
    created_at: int
    updated_at: int
    ended_at: int | None

    @property
    def progress_percent(self) -> int:
        if self.status == "COMPLETED":
            return 100
        return min(100, 100 * self.current_step_index // max(1, self.total_steps))


@dataclass(frozen=True, slots=True)
class ExecutionLog:
    """A row of the log of an execution."""

    number: int
    """Orders the rows of an execution."""
    event_type: str
    at: int
    step_index: int | None
    step_id: str | None
    attempt: int
    duration_ms: int | None
    message: str | None
    user_id: str | None


@dataclass(frozen=True, slots=True)
class RequestAnswer:
    """The answer of a shard to a request about executions."""

    answer: str
    execution_id: EnrollmentId | None
