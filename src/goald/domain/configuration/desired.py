"""The desired configuration of a tenant: the contents of the file for `goald apply`.

A section that is absent changes nothing: without `active` the activation stays, without `goals`
the goals stay, settings and catalog entities of a kind that are not listed stay, and without
`sources` the sources stay.
"""

from collections.abc import Hashable, Iterable
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import PydanticCustomError

from goald.domain.configuration.criteria import (
    AppointmentCriteria,
    Criteria,
    FormCriteria,
    Id,
    PurchaseCriteria,
    StageCriteria,
    TagCriteria,
    Text,
)
from goald.domain.configuration.desired_sources import DesiredSource
from goald.domain.configuration.goals import (
    LONGEST_WINDOW,
    MAX_GOALS,
    TOO_MANY_GOALS,
    CatalogKind,
    GoalLogic,
    GoalType,
)
from goald.domain.configuration.settings_limits import (
    ConcurrentExecutions,
    MaxRetryAttempts,
    RetryBaseDelay,
)
from goald.domain.configuration.workflows import DEFINITION_FIELDS, Overdue, SettingsPatch
from goald.domain.times import rfc3339, to_us


def _microseconds(value: Any) -> int:
    """Convert a datetime or an RFC 3339 string with an offset to microseconds. The time must be
    within the years 1 to 9999 in UTC, so that it can be formatted."""
    try:
        time = to_us(datetime.fromisoformat(value) if isinstance(value, str) else value)
        rfc3339(time)  # refuses a year that cannot be formatted
    except (ValueError, TypeError, AttributeError, OverflowError):
        raise PydanticCustomError(
            "time", "must be a time with an offset, such as 2026-01-01T00:00:00Z"
        ) from None
    return time


TimeUs = Annotated[
    int,
    BeforeValidator(_microseconds),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-01-01T00:00:00Z"]}),
]
"""A time: RFC 3339 in the file, microseconds since the epoch in memory."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Goal(_Section):
    key: Id | None = None
    effective_from: TimeUs | None = None
    conversion_window: Annotated[int, Field(ge=1, le=LONGEST_WINDOW)] | None = None

    @property
    def checks_on_enrollment(self) -> bool | None:
        """None if the file does not say it."""
        checks: bool | None = getattr(self, "check_on_enrollment", None)
        return checks


class _GoalWithState(_Goal):
    """A goal of a type in `HAS_STATE`."""

    check_on_enrollment: bool | None = None


class TagGoal(_GoalWithState):
    goal_type: Literal["tag_added"]
    criteria: TagCriteria


class PurchaseGoal(_Goal):
    goal_type: Literal["purchase_made"]
    criteria: PurchaseCriteria


class AppointmentGoal(_Goal):
    goal_type: Literal["appointment_booked"]
    criteria: AppointmentCriteria


class FormGoal(_Goal):
    goal_type: Literal["form_submitted"]
    criteria: FormCriteria


class StageGoal(_GoalWithState):
    goal_type: Literal["pipeline_stage_reached"]
    criteria: StageCriteria


DesiredGoal = Annotated[
    TagGoal | PurchaseGoal | AppointmentGoal | FormGoal | StageGoal,
    Discriminator("goal_type"),
]


GOAL_BY_TYPE: dict[GoalType, type[_Goal]] = {
    "tag_added": TagGoal,
    "purchase_made": PurchaseGoal,
    "appointment_booked": AppointmentGoal,
    "form_submitted": FormGoal,
    "pipeline_stage_reached": StageGoal,
}


class DesiredWorkflow(_Section):
    id: Id
    name: Text | None = None
    goal_logic: GoalLogic | None = None
    active: bool | None = None
    exit_missed: bool | None = None
    """Whether an activation exits the enrollments that met a goal meanwhile (E19)."""
    overdue: Overdue | None = None
    """How an activation treats overdue steps (X7)."""
    goals: list[DesiredGoal] | None = None
    trigger: Any = None
    reentry: Any = None
    timezone: Any = None
    max_lateness: Any = None
    steps: Any = None
    """These five are the definition, which `goald.domain.definitions` validates."""

    @property
    def definition(self) -> dict[str, Any] | None:
        """The document of the definition; None if the file has none."""
        fields = {name: getattr(self, name) for name in DEFINITION_FIELDS}
        document = {name: value for name, value in fields.items() if value is not None}
        return document or None

    @field_validator("goals", mode="before")
    @classmethod
    def _refuse_too_many(cls, given: Any) -> Any:
        if isinstance(given, list) and len(given) > MAX_GOALS:
            raise PydanticCustomError("too_many_goals", TOO_MANY_GOALS)
        return given

    @field_validator("goals")
    @classmethod
    def _require_unique_goals(cls, goals: list[DesiredGoal] | None) -> list[DesiredGoal] | None:
        given = goals or []
        _refuse_duplicates("key", [goal.key for goal in given if goal.key is not None])
        _refuse_duplicates("goal", [(goal.goal_type, *_frozen(goal.criteria)) for goal in given])
        return goals


class DesiredEntity(_Section):
    id: Id
    name: Text


class DesiredSettings(_Section):
    tag_case_sensitive: bool | None = None
    error_notification: bool | None = None
    max_retry_attempts: MaxRetryAttempts | None = None
    retry_base_delay_seconds: RetryBaseDelay | None = None
    concurrent_executions_per_account: ConcurrentExecutions | None = None

    @property
    def patch(self) -> SettingsPatch:
        return SettingsPatch(**self.model_dump())


class DesiredConfiguration(_Section):
    """The whole file."""

    tenant: Id
    settings: DesiredSettings = Field(default_factory=DesiredSettings)
    workflows: list[DesiredWorkflow] = Field(default_factory=list)
    catalog: dict[CatalogKind, list[DesiredEntity]] = Field(default_factory=dict)
    sources: list[DesiredSource] | None = None

    @property
    def lists_workflows(self) -> bool:
        """Whether the file has a section `workflows`. Without it, no workflow is changed."""
        return "workflows" in self.model_fields_set

    @field_validator("sources")
    @classmethod
    def _require_unique_sources(
        cls, sources: list[DesiredSource] | None
    ) -> list[DesiredSource] | None:
        _refuse_duplicates("source", [source.name for source in sources or []])
        return sources

    @field_validator("workflows")
    @classmethod
    def _require_unique_workflows(cls, workflows: list[DesiredWorkflow]) -> list[DesiredWorkflow]:
        _refuse_duplicates("workflow", [workflow.id for workflow in workflows])
        return workflows

    @field_validator("catalog")
    @classmethod
    def _require_unique_entities(
        cls, catalog: dict[CatalogKind, list[DesiredEntity]]
    ) -> dict[CatalogKind, list[DesiredEntity]]:
        for kind, entities in catalog.items():
            _refuse_duplicates(kind, [entity.id for entity in entities])
        return catalog


def _frozen(criteria: Criteria) -> tuple[tuple[str, Hashable], ...]:
    return tuple(
        (name, tuple(value) if isinstance(value, list) else value)
        for name, value in criteria.to_dict().items()
    )


def _refuse_duplicates(what: str, values: Iterable[str | tuple[Hashable, ...]]) -> None:
    seen: set[Hashable] = set()
    for value in values:
        if value in seen:
            name = value if isinstance(value, str) else value[0]
            raise PydanticCustomError(
                "duplicate", "has the {what} {name} twice", {"what": what, "name": name}
            )
        seen.add(value)
