"""What happened, as it is read: enrollments, achievements, entries of the audit log.

Times are microseconds since the epoch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeAlias, TypeVar
from uuid import UUID

from goald.domain.configuration.goals import GoalType

EnrollmentStatus = Literal["active", "completed_goal", "completed", "exited", "cancelled"]

Row = TypeVar("Row")
Place: TypeAlias = tuple[int, ...] | tuple[int | str, ...]
"""Where in an ordered list a row is: the values that it is ordered by."""


@dataclass(frozen=True, slots=True)
class Span:
    """Which part of a list is wanted: at most `limit` rows behind `after`, and of the time
    from `since` to before `until`."""

    limit: int
    after: Place | None = None
    since: int | None = None
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Rows of a list, and where the next ones begin; None where there are no more."""

    rows: Sequence[Row]
    next: Place | None


@dataclass(frozen=True, slots=True)
class EnrollmentRecord:
    id: str
    workflow_id: str
    contact_id: str
    status: EnrollmentStatus
    enrolled_at: int
    ended_at: int | None
    met_goals: Sequence[UUID]
    pending_actions: int | None
    cancelled_actions: int | None
    exit_acknowledged_at: int | None


@dataclass(frozen=True, slots=True)
class AchievementRecord:
    """`trigger_event` and `metadata` are empty once the contact was deleted; numbers in them
    are decimals."""

    id: UUID
    workflow_id: str
    workflow_enrollment_id: str
    contact_id: str
    goal_config_id: UUID
    goal_type: GoalType
    achieved_at: int
    recorded_at: int
    trigger_event: Mapping[str, Any]
    metadata: Mapping[str, Any]


AuditAction: TypeAlias = Literal[
    "workflow.created", "workflow.updated", "workflow.activated", "workflow.deactivated",
    "workflow.deleted", "goal.created", "goal.updated", "goal.deleted", "goal.achieved",
    "entity.created", "entity.updated", "entity.deleted",
    "webhook.created", "webhook.updated", "webhook.deleted",
]  # fmt: skip
ACHIEVED: AuditAction = "goal.achieved"


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One entry of the audit log, as its tenant sees it. The chain that it stands in, and its
    number there, tell of other tenants too: `hash` names it."""

    recorded_at: int
    actor: str
    action: str
    subject: str
    subject_id: str
    workflow_id: str | None
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    hash: bytes


@dataclass(frozen=True, slots=True)
class Listening:
    """What watches a workflow's enrollments, and who has its configuration (R9, E10). All of
    one moment; nothing listens while the workflow is inactive."""

    is_active: bool
    goals: Sequence[tuple[UUID, GoalType]]
    """Id and type of each goal that listens, in their order."""
    enrollments: int
    """The active ones."""
    version: int
    """Of the configuration; 0 for a workflow that is not configured."""
    ready: int
    """Live shards that have this version."""
    live: int
