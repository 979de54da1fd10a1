"""Goals, as they are sent and answered, in the bodies of the spec."""

from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from goald.api.models.editing import ChangeRequest, SeenVersion, require_metadata
from goald.api.models.times import StrictTimeUs
from goald.domain.configuration.criteria import Id
from goald.domain.configuration.criteria_schema import criteria_schema
from goald.domain.configuration.goals import LISTENS_TO, GoalType
from goald.domain.configuration.workflows import GoalRow
from goald.domain.times import rfc3339

_ANY_CRITERIA = "What an event must carry; see `GET /api/v1/goal-types`. Null or false: not set."
_TAG: JsonDict = {"tag_id": "tag-1", "tag_name": "Purchased"}
_GOAL: JsonDict = {
    "id": "0190b5a4-6a3e-7c10-9d0f-0d7e6f1f7a11",
    "workflow_id": "lead-nurturing",
    "goal_type": "tag_added",
    "criteria": _TAG,
    "is_active": True,
    "key": None,
    "effective_from": "2026-01-26T10:00:00.000000Z",
    "version": 1,
    "created_at": "2026-01-26T10:00:00.000000Z",
    "updated_at": "2026-01-26T10:00:00.000000Z",
}


def _left_out() -> Any:
    """Of what may be left out and may not be null: None is then what was left out."""
    return None


def _tell_criteria(schema: dict[str, Any]) -> None:
    """Of which type they are says what they may be."""
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
    """A goal that is to be added."""

    model_config = ConfigDict(json_schema_extra=_tell_criteria)

    goal_type: GoalType
    criteria: Any = Field(None, description=_ANY_CRITERIA, json_schema_extra={"type": "object"})
    key: Id | None = Field(None, description="a name of yours for it, once in a workflow")
    is_active: bool = True
    effective_from: StrictTimeUs | None = Field(
        None,
        description="only events from this time on count; where left out, from the time that "
        "goal and workflow are first active",
    )


class GoalChange(ChangeRequest):
    """What is to change of a goal. What is left out stays as it is."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"is_active": False}]})

    goal_type: GoalType = Field(
        default_factory=_left_out, description="another type needs criteria of its own"
    )
    criteria: dict[str, Any] = Field(
        default_factory=_left_out,
        description=_ANY_CRITERIA + " They take the place of the ones before.",
    )
    is_active: bool = Field(default_factory=_left_out)
    effective_from: StrictTimeUs = Field(
        default_factory=_left_out, description="only events from this time on count"
    )
    key: Id | None = Field(None, description="null takes it away")
    version: SeenVersion = None


class GoalAnswer(BaseModel):
    """A goal. Amounts are numbers with every digit that they were given with."""

    model_config = ConfigDict(title="Goal", json_schema_extra={"examples": [_GOAL]})

    id: UUID
    workflow_id: str
    goal_type: GoalType
    criteria: dict[str, Any] = Field(description="what is set, and nothing else")
    is_active: bool
    key: str | None
    effective_from: str | None = Field(
        description="null until goal and workflow are first active",
        json_schema_extra={"format": "date-time"},
    )
    version: int = Field(description="counts its changes")
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
            is_active=row.is_active,
            key=row.key,
            effective_from=None if since is None else rfc3339(since),
            version=metadata.version,
            created_at=rfc3339(metadata.created_at),
            updated_at=rfc3339(metadata.updated_at),
        )


class GoalList(BaseModel):
    """The goals of a workflow, in their order."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"goals": [_GOAL], "total": 1}]})

    goals: list[GoalAnswer]
    total: int = Field(description="how many there are in all")


class GoalTypeAnswer(BaseModel):
    """A type of goal, and what an editor needs to ask for."""

    model_config = ConfigDict(title="GoalTypeDescription")

    goal_type: GoalType
    title: str
    description: str
    event_type: str = Field(description="the type of event that achieves it")
    criteria_schema: dict[str, Any] = Field(description="JSON Schema, 2020-12")


class GoalTypeList(BaseModel):
    """Every type of goal that there is."""

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
