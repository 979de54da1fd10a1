"""Workflows, goals and the catalog as they are held, and what a change of them is."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias
from uuid import UUID

from goald.domain.configuration.criteria import Criterion
from goald.domain.configuration.goals import CatalogKind, GoalLogic, GoalType


@dataclass(frozen=True, slots=True)
class Stamp:
    """What is kept of a row beside its contents. Times are microseconds."""

    version: int
    """Counts the changes of the row, from 1."""
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class WorkflowRow:
    """`stamp`, here and below: None of a row that is not written yet. Rows are the same where
    their contents are."""

    id: str
    name: str
    goal_logic: GoalLogic
    is_active: bool
    stamp: Stamp | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class GoalRow:
    """`effective_from`: microseconds; None until it was first active (E3)."""

    id: UUID
    workflow_id: str
    key: str | None
    position: int
    goal_type: GoalType
    criteria: Mapping[str, Criterion]
    is_active: bool
    effective_from: int | None
    stamp: Stamp | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class EntityRow:
    kind: CatalogKind
    id: str
    name: str


Row: TypeAlias = WorkflowRow | GoalRow | EntityRow


@dataclass(frozen=True, slots=True)
class ConfigurationChange:
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


@dataclass(frozen=True, slots=True)
class Scope:
    """The part of a tenant's configuration that a change, or a reader, needs to see."""

    workflows: Collection[str] | None = ()
    """With their goals. None: every one that there is."""
    entities: Collection[tuple[str, str]] = ()
    """(kind, id)."""
    kinds: Collection[str] = ()
    """Those of which every entity is needed."""
    references: bool = True
    """Whether what the goals refer to is needed too, and which kinds have entities."""


@dataclass(slots=True)
class HeldConfiguration:
    """A tenant's rows: what is living of them, as far as a scope goes."""

    workflows: dict[str, WorkflowRow] = field(default_factory=dict)
    goals: dict[str, list[GoalRow]] = field(default_factory=dict)
    """By workflow, in order of position."""
    catalog: dict[str, dict[str, EntityRow]] = field(default_factory=dict)
    """By kind and id."""
    kinds: set[str] = field(default_factory=set)
    """Kinds that have entities, whether `catalog` holds them or not."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A message about a workflow, to be written with the change that it tells of."""

    workflow_id: str
    message_id: str
    payload: str


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """What to change, in order, and what to tell of it."""

    changes: list[ConfigurationChange]
    notices: list[Notice]


@dataclass(frozen=True, slots=True)
class Holders:
    """How many live shards there are, and how many of them hold a version (E10)."""

    ready: int
    live: int


@dataclass(frozen=True, slots=True)
class Announcement:
    """A message as it was committed: `number` is what marks it published."""

    number: int
    stream: str
    payload: str


@dataclass(frozen=True, slots=True)
class Changed:
    """What a decision has done, once it is committed."""

    changes: list[ConfigurationChange]
    """As decided; the rows after with their stamps."""
    version: int | None
    """The version that it made; None where nothing changed that shards hold."""
    announcements: Sequence[Announcement]
    """What tells of it, to be published and then marked."""
