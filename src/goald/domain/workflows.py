"""Workflows, goals and the catalog as they are held, and what a change of them is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias
from uuid import UUID

from goald.domain.criteria import Criterion


@dataclass(frozen=True, slots=True)
class WorkflowRow:
    id: str
    name: str
    goal_logic: str
    is_active: bool


@dataclass(frozen=True, slots=True)
class GoalRow:
    """`effective_from`: microseconds; None until it was first active (E3)."""

    id: UUID
    workflow_id: str
    key: str | None
    position: int
    goal_type: str
    criteria: Mapping[str, Criterion]
    is_active: bool
    effective_from: int | None


@dataclass(frozen=True, slots=True)
class EntityRow:
    kind: str
    id: str
    name: str


Row: TypeAlias = WorkflowRow | GoalRow | EntityRow


@dataclass(frozen=True, slots=True)
class Difference:
    """One row that is to be made (nothing before), changed, or deleted (nothing after)."""

    before: Row | None
    after: Row | None

    @property
    def row(self) -> Row:
        """The row after, or before where it is deleted."""
        row = self.after if self.after is not None else self.before
        if row is None:
            raise ValueError("a difference of nothing")
        return row

    @property
    def action(self) -> Literal["create", "update", "delete"]:
        if self.before is None:
            return "create"
        return "update" if self.after is not None else "delete"


@dataclass(slots=True)
class HeldConfiguration:
    """A tenant's rows: what is living of them."""

    workflows: dict[str, WorkflowRow] = field(default_factory=dict)
    goals: dict[str, list[GoalRow]] = field(default_factory=dict)
    """By workflow, in order of position."""
    catalog: dict[str, dict[str, EntityRow]] = field(default_factory=dict)
    """By kind and id."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A message about a workflow, to be written with the change that it tells of."""

    workflow_id: str
    message_id: str
    payload: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What to change, in order, and what to tell of it."""

    changes: list[Difference]
    notices: list[Notice]


@dataclass(frozen=True, slots=True)
class Holders:
    """How many live shards there are, and how many of them hold a version (E10)."""

    ready: int
    live: int
