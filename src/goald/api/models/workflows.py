"""Workflows, as they are sent and answered."""

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from goald.api.models.editing import ChangeRequest, SeenVersion, require_metadata
from goald.domain.configuration.criteria import Text
from goald.domain.configuration.goals import GoalLogic
from goald.domain.configuration.workflows import WorkflowRow
from goald.domain.times import rfc3339

_LEAD: JsonDict = {
    "id": "lead-nurturing",
    "name": "Lead Nurturing",
    "goal_logic": "any",
    "is_active": False,
    "version": 1,
    "created_at": "2026-01-26T10:00:00.000000Z",
    "updated_at": "2026-01-26T10:00:00.000000Z",
}


class WorkflowChange(ChangeRequest):
    """What a workflow is to be. What is left out stays as it is."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "Lead Nurturing", "goal_logic": "any"}]}
    )

    name: Text | None = Field(None, description="of a new one: its id, where left out")
    goal_logic: GoalLogic | None = Field(
        None, description="whether `any` goal completes it or `all` together; of a new one: any"
    )
    version: SeenVersion = None


class WorkflowAnswer(BaseModel):
    """A workflow. Its goals are a list of their own."""

    model_config = ConfigDict(title="Workflow", json_schema_extra={"examples": [_LEAD]})

    id: str
    name: str
    goal_logic: GoalLogic
    is_active: bool = Field(description="a draft is not, nor is one that was deactivated")
    version: int = Field(description="counts its changes; not those of its goals")
    created_at: str = Field(json_schema_extra={"format": "date-time"})
    updated_at: str = Field(json_schema_extra={"format": "date-time"})

    @classmethod
    def of(cls, row: WorkflowRow) -> "WorkflowAnswer":
        metadata = require_metadata(row.metadata)
        return cls(
            id=row.id,
            name=row.name,
            goal_logic=row.goal_logic,
            is_active=row.is_active,
            version=metadata.version,
            created_at=rfc3339(metadata.created_at),
            updated_at=rfc3339(metadata.updated_at),
        )


class WorkflowList(BaseModel):
    """Workflows by id."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"workflows": [_LEAD], "total": 1}]})

    workflows: list[WorkflowAnswer]
    total: int = Field(description="how many there are in all")
