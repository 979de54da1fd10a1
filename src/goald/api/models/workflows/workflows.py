"""Requests and responses for workflows."""

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from goald.api.models.requests import ChangeRequest, SeenVersion, require_metadata
from goald.domain.configuration.criteria import Text
from goald.domain.configuration.goals import GoalLogic
from goald.domain.configuration.workflows import Overdue, WorkflowRow
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
    """The desired workflow. Absent fields keep their values."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "Lead Nurturing", "goal_logic": "any"}]}
    )

    name: Text | None = Field(None, description="Default for a new workflow: its id.")
    goal_logic: GoalLogic | None = Field(
        None,
        description="Whether `any` goal or `all` goals complete an enrollment. Default for a new "
        "workflow: any.",
    )
    version: SeenVersion = None


class WorkflowAnswer(BaseModel):
    """A workflow, without its goals."""

    model_config = ConfigDict(title="Workflow", json_schema_extra={"examples": [_LEAD]})

    id: str
    name: str
    goal_logic: GoalLogic
    is_active: bool = Field(description="False for a new workflow and for a deactivated one.")
    version: int = Field(
        description="Incremented by each change of the workflow, but not of its goals."
    )
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


class Activation(ChangeRequest):
    """Options of an activation."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"exit_missed": True}]})

    version: SeenVersion = None
    exit_missed: bool = Field(
        False,
        strict=True,
        description="Whether the enrollments that met a goal while the workflow was inactive exit "
        "before any other event of the tenant is evaluated. Otherwise what they met is forgotten.",
    )
    overdue: Overdue | None = Field(
        None,
        description="Treatment of the steps that became due while the workflow was inactive: "
        "`run` starts them now, `skip` continues with the next step, `cancel` cancels their "
        "executions. Must be given if there are any.",
    )


class ActivationAnswer(WorkflowAnswer):
    """A workflow after its activation."""

    model_config = ConfigDict(
        title="ActivatedWorkflow",
        json_schema_extra={"examples": [{**_LEAD, "is_active": True, "missed": 12}]},
    )

    missed: int = Field(
        description="The active enrollments that met a goal in the last 30 days while the workflow "
        "was inactive, counted up to 10,000; 0 if it was active."
    )

    @classmethod
    def of_activation(cls, row: WorkflowRow, missed: int) -> "ActivationAnswer":
        return cls(**WorkflowAnswer.of(row).model_dump(), missed=missed)


class WorkflowList(BaseModel):
    """Workflows, ordered by id."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"workflows": [_LEAD], "total": 1}]})

    workflows: list[WorkflowAnswer]
    total: int = Field(description="The total number.")
