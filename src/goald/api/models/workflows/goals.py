"""Requests and responses for goals, with the bodies of the specification."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from goald.api.models.requests import (
    ChangeRequest,
    SeenVersion,
    StrictTimeUs,
    require_metadata,
)
from goald.domain.configuration.criteria import Id
from goald.domain.configuration.criteria_schema import criteria_schema
from goald.domain.configuration.goals import LISTENS_TO, LONGEST_WINDOW, GoalType
from goald.domain.configuration.workflows import GoalRow
from goald.domain.times import rfc3339

_ANY_CRITERIA = (
    "The conditions for events; see `GET /api/v1/goal-types`. Null or false means not set."
)
_CHECKED = (
    "Whether the goal is met when an enrollment starts and the contact already has the tag, or is "
    "in the stage. Only for the types `tag_added` and `pipeline_stage_reached`."
)
_WINDOW = (
    "For how long after the enrollment an event may meet the goal although the enrollment has "
    "ended (seconds). Null: for `GOALD_LATE` after its end."
)
_Window = Annotated[int, Field(strict=True, ge=1, le=LONGEST_WINDOW)]
_TAG: JsonDict = {"tag_id": "tag-1", "tag_name": "Purchased"}
_GOAL: JsonDict = {
    "id": "0190b5a4-6a3e-7c10-9d0f-0d7e6f1f7a11",
    "workflow_id": "lead-nurturing",
    "goal_type": "tag_added",
    "criteria": _TAG,
    "check_on_enrollment": False,
    "conversion_window": None,
    "is_active": True,
    "key": None,
    "effective_from": "2026-01-26T10:00:00.000000Z",
    "version": 1,
    "created_at": "2026-01-26T10:00:00.000000Z",
    "updated_at": "2026-01-26T10:00:00.000000Z",
}


def _absent() -> Any:
    """The default of a field that may be absent, but not null: None means absent."""
    return None


def _describe_criteria(schema: dict[str, Any]) -> None:
    """Add the criteria of each goal type to the JSON Schema."""
    schema["required"] = ["goal_type", "criteria"]
    schema["oneOf"] = [
        {
            "title": criteria_schema(goal_type)["title"],
            "properties": {
                "goal_type": {"const": goal_type},
                "criteria": criteria_schema(goal_type),
            },
        }
        for goal_type in LISTENS_TO
    ]
    schema["examples"] = [
        {"goal_type": "tag_added", "criteria": _TAG},
        {"goal_type": "purchase_made", "criteria": {"product_id": None, "min_amount": 100.00}},
    ]


class GoalRequest(ChangeRequest):
    """A goal to add."""

    model_config = ConfigDict(json_schema_extra=_describe_criteria)

    goal_type: GoalType
    criteria: Any = Field(None, description=_ANY_CRITERIA, json_schema_extra={"type": "object"})
    key: Id | None = Field(None, description="Your name for the goal, unique in its workflow.")
    is_active: bool = True
    effective_from: StrictTimeUs | None = Field(
        None,
        description="Events before this time do not count. Default: when the goal and the workflow "
        "become active for the first time.",
    )
    check_on_enrollment: bool = Field(False, description=_CHECKED)
    conversion_window: _Window | None = Field(None, description=_WINDOW)


class GoalChange(ChangeRequest):
    """The fields of a goal to change. Absent fields keep their values."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"is_active": False}]})

    goal_type: GoalType = Field(
        default_factory=_absent, description="A new type requires new criteria."
    )
    criteria: dict[str, Any] = Field(
        default_factory=_absent,
        description=_ANY_CRITERIA + " They replace the current criteria.",
    )
    is_active: bool = Field(default_factory=_absent)
    effective_from: StrictTimeUs = Field(
        default_factory=_absent, description="Events before this time do not count."
    )
    check_on_enrollment: bool = Field(default_factory=_absent, description=_CHECKED)
    conversion_window: _Window | None = Field(None, description=_WINDOW)
    key: Id | None = Field(None, description="Null removes the key.")
    version: SeenVersion = None


class GoalAnswer(BaseModel):
    """A goal. Amounts are numbers with all their digits."""

    model_config = ConfigDict(title="Goal", json_schema_extra={"examples": [_GOAL]})

    id: UUID
    workflow_id: str
    goal_type: GoalType
    criteria: dict[str, Any] = Field(description="The criteria that are set.")
    check_on_enrollment: bool = Field(description=_CHECKED)
    conversion_window: int | None = Field(description=_WINDOW)
    is_active: bool
    key: str | None
    effective_from: str | None = Field(
        description="Null until the goal and the workflow are active for the first time.",
        json_schema_extra={"format": "date-time"},
    )
    version: int = Field(description="Incremented by each change.")
    created_at: str = Field(json_schema_extra={"format": "date-time"})
    updated_at: str = Field(json_schema_extra={"format": "date-time"})

    @classmethod
    def of(cls, row: GoalRow) -> "GoalAnswer":
        metadata = require_metadata(row.metadata)
        since = row.effective_from
        return cls(
            id=row.id,
            workflow_id=row.workflow_id,
            goal_type=row.goal_type,
            criteria=dict(row.criteria),
            check_on_enrollment=row.check_on_enrollment,
            conversion_window=row.conversion_window,
            is_active=row.is_active,
            key=row.key,
            effective_from=None if since is None else rfc3339(since),
            version=metadata.version,
            created_at=rfc3339(metadata.created_at),
            updated_at=rfc3339(metadata.updated_at),
        )


class GoalList(BaseModel):
    """The goals of a workflow, in order of position."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"goals": [_GOAL], "total": 1}]})

    goals: list[GoalAnswer]
    total: int = Field(description="The total number.")


class GoalTypeAnswer(BaseModel):
    """A goal type, with the criteria that an editor asks for."""

    model_config = ConfigDict(title="GoalTypeDescription")

    goal_type: GoalType
    title: str
    description: str
    event_type: str = Field(description="The event type that can achieve the goal.")
    criteria_schema: dict[str, Any] = Field(description="JSON Schema 2020-12.")


class GoalTypeList(BaseModel):
    """All goal types."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "goal_types": [
                        {
                            "goal_type": "form_submitted",
                            "title": "Form submitted",
                            "description": "The contact submits a form",
                            "event_type": "form.submitted",
                            "criteria_schema": {
                                "type": "object",
                                "required": ["form_id"],
                                "properties": {"form_id": {"type": "string"}},
                            },
                        }
                    ]
                }
            ]
        }
    )

    goal_types: list[GoalTypeAnswer]
