"""Executions, and the rows of their log. Times are microseconds since the Unix epoch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from goald.domain.ids import ContactId, EnrollmentId, WorkflowId

ExecutionStatus = Literal["QUEUED", "ACTIVE", "PAUSED", "FAILED", "COMPLETED", "CANCELLED"]

PHASES: Final = ("live", "failed", "completed", "cancelled")
IN_FLIGHT: Final = "action in flight"
"""Ends the message of the log row of an end, if a worker may have been calling a provider."""
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
    def has_ended(self) -> bool:
        return self.status in ("COMPLETED", "CANCELLED")

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


RequestOutcome = Literal[
    "started",
    "repeated",
    "duplicate",
    "already_running",
    "not_allowed_again",
    "opted_out",
    "inactive_workflow",
    "accepted",
    "not_failed",
    "not_found",
]


@dataclass(frozen=True, slots=True)
class RequestAnswer:
    """The answer of a shard to a request about executions."""

    answer: RequestOutcome
    execution_id: EnrollmentId | None


@dataclass(frozen=True, slots=True)
class RunnableWorkflow:
    """Whether executions of a workflow can start."""

    is_active: bool
    has_definition: bool
    """Whether a version of its definition is published."""


@dataclass(frozen=True, slots=True)
class NumberedPage:
    """A page of executions by its number."""

    rows: Sequence[Execution]
    total: int
    is_estimate: bool
    """Whether `total` is an estimate of the planner: the rows are counted up to a limit only."""
