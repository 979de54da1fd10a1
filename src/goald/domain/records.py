"""What happened, as it is read: enrollments, achievements, entries of the audit log.

Times are microseconds since the epoch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar
from uuid import UUID

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
    status: str
    enrolled_at: int
    ended_at: int | None
    met_goals: Sequence[UUID]
    pending_actions: int | None
    cancelled_actions: int | None
    exit_acknowledged_at: int | None


@dataclass(frozen=True, slots=True)
class AchievementRecord:
    """`trigger_event` and `metadata` are empty once the contact was deleted."""

    id: UUID
    workflow_id: str
    workflow_enrollment_id: str
    contact_id: str
    goal_config_id: UUID
    goal_type: str
    achieved_at: int
    recorded_at: int
    trigger_event: Mapping[str, Any]
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One entry of a chain (see the migration 0007). `number` counts within its writer."""

    writer: str
    number: int
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
    """A workflow's active enrollments, and who has its configuration (E10)."""

    enrollments: int
    version: int
    ready: int
    """Live shards that have this version."""
    live: int
