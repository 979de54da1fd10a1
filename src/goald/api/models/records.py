"""Responses with enrollments, achievements and listeners."""

from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from goald.domain.configuration.goals import LISTENS_TO, GoalType
from goald.domain.records.achievement import Achievement
from goald.domain.records.enrollment import Enrollment, EnrollmentStatus
from goald.domain.records.listeners import ListenerStatus
from goald.domain.times import rfc3339

_ENROLLMENT: JsonDict = {
    "id": "enrollment-81",
    "workflow_id": "lead-nurturing",
    "contact_id": "john-doe",
    "status": "completed_goal",
    "enrolled_at": "2026-01-26T10:00:00.000000Z",
    "ended_at": "2026-01-29T09:30:12.250000Z",
    "met_goals": ["0190b5a4-6a3e-7c10-9d0f-0d7e6f1f7a11"],
    "pending_actions": 3,
    "cancelled_actions": 3,
    "exit_acknowledged_at": "2026-01-29T09:30:12.261034Z",
    "match": {"cart_id": "cart-7"},
    "met_after_end_at": None,
}
_ACHIEVEMENT: JsonDict = {
    "id": "5d2c8f2a-0f0e-5a43-8f1b-6d9a1f0f4b11",
    "workflow_id": "lead-nurturing",
    "workflow_enrollment_id": "enrollment-81",
    "contact_id": "john-doe",
    "goal_config_id": "0190b5a4-6a3e-7c10-9d0f-0d7e6f1f7a11",
    "goal_type": "tag_added",
    "achieved_at": "2026-01-29T09:30:12.250000Z",
    "recorded_at": "2026-01-29T09:30:12.257310Z",
    "trigger_event": {"contact_id": "john-doe", "tag_name": "Customer"},
    "metadata": {
        "event_id": "0f2b",
        "source": "crm",
        "type": "contact.tag.added",
        "time": "2026-01-29T09:30:12.25Z",
    },
    "after_end": False,
}
_LISTENERS: JsonDict = {
    "workflow_id": "lead-nurturing",
    "is_active": True,
    "event_types": ["contact.tag.added"],
    "goals": [
        {
            "id": "0190b5a4-6a3e-7c10-9d0f-0d7e6f1f7a11",
            "goal_type": "tag_added",
            "event_type": "contact.tag.added",
        }
    ],
    "enrollments": 1050,
    "config_version": 17,
    "shards": {"ready": 2, "live": 2},
    "everywhere": True,
}


class EnrollmentResponse(BaseModel):
    """The enrollment of a contact in a workflow."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ENROLLMENT]})

    id: str
    workflow_id: str
    contact_id: str
    status: EnrollmentStatus
    enrolled_at: str = Field(json_schema_extra={"format": "date-time"})
    ended_at: str | None = Field(
        description="When the status left `active`.", json_schema_extra={"format": "date-time"}
    )
    met_goals: list[UUID] = Field(description="The ids of the goals that this enrollment has met.")
    pending_actions: int | None = Field(description="From the start of the enrollment.")
    cancelled_actions: int | None = Field(description="From the acknowledgement of the exit.")
    exit_acknowledged_at: str | None = Field(json_schema_extra={"format": "date-time"})
    match: dict[str, str] | None = Field(
        description="The values that its goals may compare with events; null after the contact "
        "was deleted."
    )
    met_after_end_at: str | None = Field(
        description="When its goals were met after it had ended; the status stays.",
        json_schema_extra={"format": "date-time"},
    )

    @classmethod
    def of(cls, row: Enrollment) -> "EnrollmentResponse":
        return cls(
            id=row.id,
            workflow_id=row.workflow_id,
            contact_id=row.contact_id,
            status=row.status,
            enrolled_at=rfc3339(row.enrolled_at),
            ended_at=_time(row.ended_at),
            met_goals=list(row.met_goals),
            pending_actions=row.pending_actions,
            cancelled_actions=row.cancelled_actions,
            exit_acknowledged_at=_time(row.exit_acknowledged_at),
            match=None if row.match_values is None else dict(row.match_values),
            met_after_end_at=_time(row.met_after_end_at),
        )


class AchievementResponse(BaseModel):
    """The record that an enrollment met a goal."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ACHIEVEMENT]})

    id: UUID
    workflow_id: str
    workflow_enrollment_id: str
    contact_id: str
    goal_config_id: UUID = Field(description="The id of the goal, which may have been deleted.")
    goal_type: GoalType
    achieved_at: str = Field(
        description="The time of the event.", json_schema_extra={"format": "date-time"}
    )
    recorded_at: str = Field(json_schema_extra={"format": "date-time"})
    trigger_event: dict[str, Any] = Field(
        description="The data of the event; empty after the contact was deleted."
    )
    metadata: dict[str, Any] = Field(
        description="`event_id`, `source`, `type`, `time` and `traceparent` of the event."
    )
    after_end: bool = Field(
        description="Whether the enrollment had ended before. Then there is no exit."
    )

    @classmethod
    def of(cls, row: Achievement) -> "AchievementResponse":
        return cls(
            id=row.id,
            workflow_id=row.workflow_id,
            workflow_enrollment_id=row.workflow_enrollment_id,
            contact_id=row.contact_id,
            goal_config_id=row.goal_config_id,
            goal_type=row.goal_type,
            achieved_at=rfc3339(row.achieved_at),
            recorded_at=rfc3339(row.recorded_at),
            trigger_event=dict(row.trigger_event),
            metadata=dict(row.metadata),
            after_end=row.after_end,
        )


_NEXT = "The `cursor` of the next page; null on the last page."


class EnrollmentPage(BaseModel):
    """Enrollments, newest first."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"items": [_ENROLLMENT], "next_cursor": None}]}
    )

    items: list[EnrollmentResponse]
    next_cursor: str | None = Field(description=_NEXT)


class AchievementPage(BaseModel):
    """Achievements, newest first."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"items": [_ACHIEVEMENT], "next_cursor": None}]}
    )

    items: list[AchievementResponse]
    next_cursor: str | None = Field(description=_NEXT)


class ListeningGoal(BaseModel):
    id: UUID
    goal_type: GoalType
    event_type: str = Field(description="The event type that can achieve the goal.")


class Shards(BaseModel):
    ready: int = Field(description="Live shards that have loaded this version.")
    live: int


class Listeners(BaseModel):
    """The goals of a workflow that listen for events. None while the workflow is inactive."""

    model_config = ConfigDict(json_schema_extra={"examples": [_LISTENERS]})

    workflow_id: str
    is_active: bool
    event_types: list[str] = Field(description="The event types that the goals listen to.")
    goals: list[ListeningGoal]
    enrollments: int = Field(
        description="The number of active enrollments, each watched by every goal."
    )
    config_version: int = Field(
        description="The configuration version; 0 for a workflow that is not configured."
    )
    shards: Shards
    everywhere: bool = Field(description="Whether every live shard has loaded this version.")

    @classmethod
    def of(cls, workflow_id: str, listening: ListenerStatus) -> "Listeners":
        goals = [
            ListeningGoal(id=id_, goal_type=kind, event_type=LISTENS_TO[kind])
            for id_, kind in listening.goals
        ]
        return cls(
            workflow_id=workflow_id,
            is_active=listening.is_active,
            event_types=sorted({goal.event_type for goal in goals}),
            goals=goals,
            enrollments=listening.enrollments,
            config_version=listening.version,
            shards=Shards(ready=listening.ready, live=listening.live),
            everywhere=listening.ready == listening.live,
        )


def _time(time_us: int | None) -> str | None:
    return None if time_us is None else rfc3339(time_us)
