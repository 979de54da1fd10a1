"""What a tenant's configuration shall be: the contents of the file for `goald apply` (3.5).

What a section leaves out is left alone: a missing `active` changes no activation, a
missing list of goals no goal, a missing kind of the catalog no entity.
"""

from collections.abc import Hashable, Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    ValidationError,
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
from goald.domain.configuration.goals import (
    LISTENS_TO,
    MAX_GOALS,
    TOO_MANY_GOALS,
    CatalogKind,
    GoalLogic,
)
from goald.domain.errors import InvalidFile
from goald.domain.times import rfc3339, to_us

_GOAL_TYPES = f"goal_type must be one of {', '.join(LISTENS_TO)}"
_PLAIN = {
    "extra_forbidden": "is not known here",
    "missing": "is missing",
    "string_type": "must be text: put it in quotes",
    "bool_type": "must be true or false",
    "dict_type": "must be a map",
    "model_type": "must be a map",
    "model_attributes_type": "must be a map",
    "list_type": "must be a list",
    "union_tag_invalid": _GOAL_TYPES,
    "union_tag_not_found": _GOAL_TYPES,
}
"""Pydantic's messages that need a programmer to read, by their type."""


def _microseconds(value: Any) -> int:
    """A time with its offset, as YAML gives it or as RFC 3339 text; of the years 1 to 9999 in
    UTC too, so that it can be told again."""
    try:
        time = to_us(datetime.fromisoformat(value) if isinstance(value, str) else value)
        rfc3339(time)
    except (ValueError, TypeError, AttributeError, OverflowError):
        raise PydanticCustomError(
            "time", "must be a time with its offset, such as 2026-01-01T00:00:00Z"
        ) from None
    return time


TimeUs = Annotated[
    int,
    BeforeValidator(_microseconds),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-01-01T00:00:00Z"]}),
]
"""A time as text outside, as microseconds since the epoch within."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Goal(_Section):
    key: Id | None = None
    effective_from: TimeUs | None = None


class TagGoal(_Goal):
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


class StageGoal(_Goal):
    goal_type: Literal["pipeline_stage_reached"]
    criteria: StageCriteria


Goal = Annotated[
    TagGoal | PurchaseGoal | AppointmentGoal | FormGoal | StageGoal,
    Discriminator("goal_type"),
]


class Workflow(_Section):
    id: Id
    name: Text | None = None
    goal_logic: GoalLogic | None = None
    active: bool | None = None
    goals: list[Goal] | None = None

    @field_validator("goals", mode="before")
    @classmethod
    def _not_too_many(cls, given: Any) -> Any:
        if isinstance(given, list) and len(given) > MAX_GOALS:
            raise PydanticCustomError("too_many_goals", TOO_MANY_GOALS)
        return given

    @field_validator("goals")
    @classmethod
    def _each_once(cls, goals: list[Goal] | None) -> list[Goal] | None:
        held = goals or []
        _refuse_repeats("key", [goal.key for goal in held if goal.key is not None])
        _refuse_repeats("goal", [(goal.goal_type, *_frozen(goal.criteria)) for goal in held])
        return goals


class Entity(_Section):
    id: Id
    name: Text


class DesiredConfiguration(_Section):
    """All of the file."""

    tenant: Id
    workflows: list[Workflow] = Field(default_factory=list)
    catalog: dict[CatalogKind, list[Entity]] = Field(default_factory=dict)

    @field_validator("workflows")
    @classmethod
    def _each_workflow_once(cls, workflows: list[Workflow]) -> list[Workflow]:
        _refuse_repeats("workflow", [workflow.id for workflow in workflows])
        return workflows

    @field_validator("catalog")
    @classmethod
    def _each_entity_once(
        cls, catalog: dict[CatalogKind, list[Entity]]
    ) -> dict[CatalogKind, list[Entity]]:
        for kind, entities in catalog.items():
            _refuse_repeats(kind, [entity.id for entity in entities])
        return catalog


def read_desired(contents: Any) -> DesiredConfiguration:
    """The configuration in a parsed file: maps, lists, text, integers, booleans and times;
    decimals as their text.

    Raises InvalidFile with a line for each fault, naming its place, such as
    `workflows[2].goals[0].criteria.min_amount: must be …`.
    """
    if not isinstance(contents, dict):
        raise InvalidFile("the file must hold a map with `tenant` and `workflows`")
    try:
        return DesiredConfiguration.model_validate(contents)
    except ValidationError as error:
        raise InvalidFile(
            "\n".join(
                f"{place(fault['loc'])}: {_PLAIN.get(fault['type'], fault['msg'])}"
                for fault in error.errors()
            )
        ) from None


def place(steps: Sequence[int | str]) -> str:
    """A place in the file, such as `workflows[2].goals[0]`."""
    text = ""
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
        elif step not in LISTENS_TO:  # pydantic names the type of goal as if it were a step
            text += f".{step}"
    return text.removeprefix(".") or "the file"


def _frozen(criteria: Criteria) -> tuple[tuple[str, Hashable], ...]:
    return tuple(criteria.as_set().items())


def _refuse_repeats(what: str, found: Iterable[Hashable]) -> None:
    seen: set[Hashable] = set()
    for one in found:
        if one in seen:
            name = one if isinstance(one, str) else one[0] if isinstance(one, tuple) else one
            raise PydanticCustomError(
                "repeated", "has the {what} {name} twice", {"what": what, "name": name}
            )
        seen.add(one)
