"""Achievements."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from goald.domain.configuration.goals import GoalType
from goald.domain.ids import AchievementId, ContactId, EnrollmentId, GoalId, WorkflowId


@dataclass(frozen=True, slots=True)
class Achievement:
    """The record that an enrollment met a goal. Times are microseconds since the Unix epoch.

    `trigger_event` (the event's `data`) and `metadata` are empty after the contact was deleted.
    Numbers in them are `Decimal`.
    """

    id: AchievementId
    workflow_id: WorkflowId
    workflow_enrollment_id: EnrollmentId
    contact_id: ContactId
    goal_config_id: GoalId
    goal_type: GoalType
    achieved_at: int
    """The time of the event (E6)."""
    recorded_at: int
    """The time of the commit."""
    trigger_event: Mapping[str, Any]
    metadata: Mapping[str, Any]
    after_end: bool
    """Whether the enrollment had ended before (E18)."""
