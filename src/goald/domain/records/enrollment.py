"""Enrollments."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from goald.domain.ids import ContactId, EnrollmentId, GoalId, WorkflowId

EnrollmentStatus = Literal["active", "completed_goal", "completed", "exited", "cancelled"]

ENDED: Final[tuple[EnrollmentStatus, ...]] = ("completed_goal", "completed", "exited", "cancelled")
"""Every status except `active`. An ended enrollment never becomes active again (E5)."""


@dataclass(frozen=True, slots=True)
class Enrollment:
    """One contact's run through one workflow. Times are microseconds since the Unix epoch."""

    id: EnrollmentId
    workflow_id: WorkflowId
    contact_id: ContactId
    status: EnrollmentStatus
    enrolled_at: int
    ended_at: int | None
    """The time of the event that ended the enrollment; None while the enrollment is active."""
    met_goals: Sequence[GoalId]
    pending_actions: int | None
    """Actions that the workflow engine had scheduled when the enrollment began."""
    cancelled_actions: int | None
    """Actions that the exit cancelled, as the engine acknowledged it."""
    exit_acknowledged_at: int | None
    match_values: Mapping[str, str] | None = None
    """The values that its goals may compare with events (E17)."""
    met_after_end_at: int | None = None
    """The time of the event with which its goals were met after it had ended (E18)."""
