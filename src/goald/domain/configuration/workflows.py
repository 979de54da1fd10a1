"""The rows of a configuration (workflows, goals, catalog entities) and the changes of them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID

from goald.domain.configuration.criteria import Criterion
from goald.domain.configuration.goals import CatalogKind, GoalLogic, GoalType
from goald.domain.streams import OutboundStream


@dataclass(frozen=True, slots=True)
class RowMetadata:
    """Version and times of a row. Times are in microseconds since the epoch."""

    version: int
    """1 for a new row, incremented by each change."""
    created_at: int
    updated_at: int


Overdue: TypeAlias = Literal["run", "skip", "cancel"]
"""How an activation treats overdue steps: they start, they are skipped, or their executions are
cancelled."""


@dataclass(frozen=True, slots=True)
class WorkflowRow:
    """A workflow. `metadata` is None for a row that has not been written, and is ignored when
    rows are compared; the same holds for GoalRow."""

    id: str
    name: str
    goal_logic: GoalLogic
    is_active: bool
    exits_missed: bool = field(default=False, compare=False)
    """Whether the last activation exits the enrollments that met a goal while the workflow was
    inactive (E19). Not compared: only an activation sets it."""
    overdue: Overdue | None = field(default=None, compare=False)
    """How the last activation treats the steps that had become due before it (X7). None: there were
    none."""
    activated_at: int | None = field(default=None, compare=False)
    """When it was activated last, in microseconds since the epoch, if there were overdue steps."""
    metadata: RowMetadata | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class GoalRow:
    """A goal of a workflow. `effective_from`: microseconds since the epoch; None until the goal
    and its workflow are active for the first time (E3)."""

    id: UUID
    workflow_id: str
    key: str | None
    position: int
    goal_type: GoalType
    criteria: Mapping[str, Criterion]
    is_active: bool
    effective_from: int | None
    check_on_enrollment: bool = False
    """Whether a state that the contact already has meets the goal (E22)."""
    conversion_window: int | None = None
    """For how long after the enrollment, in seconds, an event may meet the goal although the
    enrollment has ended (E18). None: for GOALD_LATE after its end."""
    metadata: RowMetadata | None = field(default=None, compare=False)


DEFINITION_FIELDS: Final = ("trigger", "reentry", "timezone", "max_lateness", "steps")
"""The fields of a definition: of a document, and of a workflow in the file of `goald apply`."""


@dataclass(frozen=True, slots=True)
class DefinitionContent:
    """A valid definition. `digest`: the SHA-256 of the document. `plan`: its compiled form."""

    document: Mapping[str, Any]
    digest: bytes
    plan: bytes


@dataclass(frozen=True, slots=True)
class DefinitionRow:
    """A version of a workflow's definition: a draft, or published. A workflow has at most one
    draft, and it is newer than every published version. `metadata.version` counts the changes of
    all versions together, so that an ETag never repeats."""

    workflow_id: str
    version: int
    document: Mapping[str, Any] = field(compare=False)
    """As the editor gave it. That of a draft may have faults."""
    digest: bytes
    """The SHA-256 of the document, regardless of the order of its members."""
    plan: bytes | None = None
    """None for a draft."""
    published_at: int | None = field(default=None, compare=False)
    """Microseconds since the epoch. None for a draft, and for a row that has not been written."""
    metadata: RowMetadata | None = field(default=None, compare=False)

    @property
    def id(self) -> str:
        return f"{self.workflow_id} / version {self.version}"

    @property
    def is_published(self) -> bool:
        return self.plan is not None


@dataclass(frozen=True, slots=True)
class DefinitionVersion:
    """A version of a definition, without its document. Times are microseconds since the epoch.
    `published_at` and `published_by` are None for a draft."""

    version: int
    digest: bytes
    created_at: int
    created_by: str | None
    updated_at: int
    updated_by: str | None
    published_at: int | None
    published_by: str | None


@dataclass(frozen=True, slots=True)
class CurrentDefinition:
    """The definition of a workflow: its draft, and its newest published version."""

    draft: DefinitionRow | None = None
    published: DefinitionRow | None = None
    last_version: int = 0
    """The greatest version ever, those of a deleted workflow with the same id included."""

    @property
    def newest(self) -> DefinitionRow | None:
        """The draft, or the published version if there is no draft."""
        return self.draft or self.published


@dataclass(frozen=True, slots=True)
class EntityRow:
    """An entity of the catalog: a tag, a form, a calendar and so on."""

    kind: CatalogKind
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class SettingsRow:
    """The settings of a tenant."""

    tag_case_sensitive: bool = False
    """Whether names of tags are compared with regard to case (E16)."""
    error_notification: bool = True
    """Whether the admin is notified of failed executions."""
    max_retry_attempts: int = 3
    """How often an action is tried again, unless its step says otherwise."""
    retry_base_delay_seconds: float | None = None
    """Before the first retry. None: GOALD_RETRY_BASE_SECONDS."""
    concurrent_executions_per_account: int = 100
    """The executions that may be ACTIVE at the same time (X8)."""

    @property
    def id(self) -> str:
        """Empty: a tenant has one such row."""
        return ""


@dataclass(frozen=True, slots=True)
class SettingsPatch:
    """The settings of a tenant to change. None keeps the current value."""

    tag_case_sensitive: bool | None = None
    error_notification: bool | None = None
    max_retry_attempts: int | None = None
    retry_base_delay_seconds: float | None = None
    concurrent_executions_per_account: int | None = None

    @property
    def given(self) -> dict[str, Any]:
        """The settings that change."""
        return {name: value for name, value in asdict(self).items() if value is not None}


Row: TypeAlias = WorkflowRow | GoalRow | DefinitionRow | EntityRow | SettingsRow


@dataclass(frozen=True, slots=True)
class ConfigurationChange:
    """The change of one row. `before` is None for a new row, `after` for a deleted one."""

    before: Row | None
    after: Row | None
    previous: DefinitionRow | None = field(default=None, compare=False)
    """The version of a definition that was published before, if the change publishes one. If it is
    the same version, the change removes the draft only."""
    missed: int = field(default=0, compare=False)
    """The active enrollments that met a goal while the workflow was inactive, if the change
    activates it (E19)."""

    @property
    def row(self) -> Row:
        """The row after the change, or before it if the row is deleted."""
        row = self.after if self.after is not None else self.before
        if row is None:
            raise ValueError("a change needs a row before or after it")
        return row

    @property
    def action(self) -> Literal["create", "update", "delete"]:
        if self.before is None:
            return "create"
        return "update" if self.after is not None else "delete"


@dataclass(frozen=True, slots=True)
class ConfigurationScope:
    """The part of a tenant's configuration that an operation reads."""

    workflows: Collection[str] | None = ()
    """Workflow ids; their goals are included. None: every workflow."""
    entities: Collection[tuple[str, str]] = ()
    """(kind, id)."""
    kinds: Collection[str] = ()
    """Kinds of which every entity is read."""
    references: bool = True
    """Whether the entities that the goals refer to are read, and which kinds have entities."""
    settings: bool = False
    """Whether the settings of the tenant are read."""
    definitions: bool = False
    """Whether the definitions of the workflows are read."""
    active_enrollments: int = 0
    """Count the active enrollments of each workflow up to this number; 0 counts none."""
    missed: bool = False
    """Count the active enrollments of inactive workflows that met a goal meanwhile, and the overdue
    steps of these workflows."""


@dataclass(slots=True)
class CurrentConfiguration:
    """The rows of a tenant within a scope. Deleted rows are not included."""

    workflows: dict[str, WorkflowRow] = field(default_factory=dict)
    goals: dict[str, list[GoalRow]] = field(default_factory=dict)
    """By workflow, in order of position."""
    catalog: dict[str, dict[str, EntityRow]] = field(default_factory=dict)
    """By kind and id."""
    kinds: set[str] = field(default_factory=set)
    """Kinds that have entities, including entities that `catalog` does not hold."""
    settings: SettingsRow | None = None
    """None if they were never changed."""
    definitions: dict[str, CurrentDefinition] = field(default_factory=dict)
    """By workflow; only workflows that have one, or had one before they were deleted."""
    active_enrollments: dict[str, int] = field(default_factory=dict)
    """The number of active enrollments of each workflow, up to the limit of the scope."""
    missed: dict[str, int] = field(default_factory=dict)
    """The number of active enrollments that met a goal while their workflow is inactive, up to
    `edits.COUNTED_ENROLLMENTS`."""
    overdue: dict[str, int] = field(default_factory=dict)
    """The number of steps of inactive workflows that are overdue (X7), up to the same."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A message about a workflow, written in the transaction of the change."""

    workflow_id: str
    message_id: str
    payload: str


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """The changes to write, in this order, and the notices about them."""

    changes: list[ConfigurationChange]
    notices: list[Notice]


@dataclass(frozen=True, slots=True)
class RolloutStatus:
    """How many shards are live, and how many of them have loaded a version (E10)."""

    ready: int
    live: int


@dataclass(frozen=True, slots=True)
class OutboxNotice:
    """A committed message. `number` identifies its outbox row."""

    number: int
    stream: OutboundStream
    payload: str


@dataclass(frozen=True, slots=True)
class CommittedChanges:
    """The result of a ChangeSet after its transaction."""

    changes: list[ConfigurationChange]
    """As in the ChangeSet; rows after the change carry their metadata."""
    version: int | None
    """The new configuration version; None if no workflow changed, in its goals or by a setting."""
    notices: Sequence[OutboxNotice]
    """The messages to publish, and then to mark as published."""
