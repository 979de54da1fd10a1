"""The rows that one commit writes, as columns of plain values that each shard store encodes.

All columns of one dataclass have the same length; row i of each belongs together. Times are
microseconds since the Unix epoch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from goald.domain.configuration.goals import GoalType
from goald.domain.contacts.forwards import Forward
from goald.domain.contacts.projection import EventRef
from goald.domain.records.enrollment import EnrollmentStatus
from goald.ports.executions.change import ExecutionChange
from goald.ports.outbox import OutboxRow, StoredMessage


@dataclass(frozen=True, slots=True)
class EffectColumns:
    """Net changes to enrollments, one row for each enrollment."""

    tenant_id: Sequence[str]
    enrollment_id: Sequence[str]
    contact_id: Sequence[str]
    workflow_id: Sequence[str]
    slot: Sequence[int]
    is_new: Sequence[bool]
    """True: insert the enrollment. False: update it if its row is active."""
    after_end: Sequence[bool]
    """True: the enrollment has ended, otherwise than by its goals (E18). Update it if that is so,
    if its goals were not all met since, and if it has not met any of these."""
    status: Sequence[EnrollmentStatus]
    """The status after the change. With `after_end`, it stays."""
    enrolled_at: Sequence[int]
    ended_at: Sequence[int | None]
    """The time of the event that ended the enrollment. With `after_end`, of the event with which
    its goals are met; None if some are not."""
    met_goals: Sequence[Sequence[str]]
    """Ids (UUID) of the goals that the change meets."""
    pending_actions: Sequence[int | None]
    started_by: Sequence[str | None]
    """The key of the event that started a new enrollment (E11)."""
    match_values: Sequence[str | None]
    """The values that a new enrollment carries, as a JSON object of texts (E17)."""
    after_event: Sequence[str | None]
    """The key of the last of `Change.used_events` that counted for the contact in the workflow
    before a new enrollment started (E11)."""
    received_at: Sequence[int | None]
    """When Redis received the start of a new enrollment that is dated ahead of it; else None."""
    merges: Sequence[Sequence[int]]
    """When Redis received the merges that moved the contact of a new enrollment after its start
    (E21)."""

    def __len__(self) -> int:
        return len(self.tenant_id)


@dataclass(frozen=True, slots=True)
class AchievementColumns:
    """Achievements, one row for each enrollment and goal."""

    effect: Sequence[int]
    """Index of the effect that the achievement depends on."""
    id: Sequence[str]
    goal_id: Sequence[str]
    goal_type: Sequence[GoalType]
    achieved_at: Sequence[int]
    trigger_event: Sequence[str]
    """The `data` of the event, as JSON that Postgres accepts as jsonb."""
    metadata: Sequence[str]
    """A JSON object about the event: id, source, type, time and trace context."""

    def __len__(self) -> int:
        return len(self.effect)


class Deletion(NamedTuple):
    """A deleted contact, whose rows must be erased."""

    tenant_id: str
    contact_id: str
    slot: int
    deleted_at: int


class Acknowledgement(NamedTuple):
    """A workflow engine has carried out an exit."""

    tenant_id: str
    enrollment_id: str
    contact_id: str
    workflow_id: str
    slot: int
    cancelled_actions: int | None
    acknowledged_at: int


class Reversal(NamedTuple):
    """A payment was refunded (`purchase_made`), or an appointment cancelled
    (`appointment_booked`)."""

    tenant_id: str
    contact_id: str
    slot: int
    goal_type: GoalType
    reference: str | None
    """The id of the payment or appointment, if the event has one."""
    reversed_at: int


class ContactEvent(NamedTuple):
    """An event that describes its contact."""

    tenant_id: str
    contact_id: str
    slot: int
    event_type: str
    event: str
    """The key of the event."""
    time: int
    """Of the event, or when Redis received it if that is earlier."""
    data: str
    """The `data` of the event, as JSON."""
    dated: int = 0
    """The time of the event, if it is dated ahead of its receipt; else any earlier time."""

    @property
    def source(self) -> EventRef:
        """The event, as a projection remembers it."""
        return EventRef(self.time, self.event, self.dated)


class ContactMerge(NamedTuple):
    """A contact continues under the id of another (E21)."""

    tenant_id: str
    contact_id: str
    slot: int
    into_contact_id: str
    event: str
    """The key of the event."""
    merged_at: int
    """Of the event."""
    received_at: int
    """When Redis received the event. Identifies the merge."""


class MergeOutcome(NamedTuple):
    """The outcome of a merge."""

    forward: Forward | None = None
    """From now on, and also if the merge is a repeat. None if it has no effect."""
    refused: str | None = None
    """Why the event is dead-lettered."""


class Contender(NamedTuple):
    """An event that names the enrollment of an effect under another contact or workflow, and came
    later in the same group."""

    effect: int
    contact_id: str
    workflow_id: str


class UsedEvent(NamedTuple):
    """An event, by its key, counts for an enrollment (E11)."""

    effect: int
    event: str
    received_at: int = 0
    """When Redis received it."""


class MissedEvent(NamedTuple):
    """An event that would have counted for enrollments of paused workflows (E19)."""

    tenant_id: str
    contact_id: str
    slot: int
    event: str
    """The key of the event."""
    entry_id: str
    payload: bytes
    old_tags: Sequence[int] = ()
    """The positions of the tags in its list that the contact had before (E16)."""


class MissedRun(NamedTuple):
    """An enrollment of a paused workflow, and the index of the event that it missed."""

    number: int
    workflow_id: str
    enrollment_id: str


@dataclass(frozen=True, slots=True)
class Change:
    """The rows that one commit writes. Rows that belong to an effect are written only if it takes
    effect."""

    effects: EffectColumns
    achievements: AchievementColumns
    outbox: Sequence[OutboxRow]
    deletions: Sequence[Deletion] = ()
    acknowledgements: Sequence[Acknowledgement] = ()
    contenders: Sequence[Contender] = ()
    """In the order of their effects."""
    reversals: Sequence[Reversal] = ()
    """Applied in order, after the achievements of the same change."""
    used_events: Sequence[UsedEvent] = ()
    """In the order of the events."""
    contact_events: Sequence[ContactEvent] = ()
    """Applied in order, unless the contact was deleted at or after them."""
    missed_events: Sequence[MissedEvent] = ()
    missed_runs: Sequence[MissedRun] = ()
    """Written if the enrollment is active after the change, and has no missed event yet."""
    judged_runs: Sequence[tuple[str, str]] = ()
    """(tenant, enrollment) of missed runs whose events were judged: they are removed."""
    merges: Sequence[ContactMerge] = ()
    """In order, after everything else."""
    executions: ExecutionChange | None = None


EFFECTIVE, EXCLUDES = 1, 2


class Conflict(NamedTuple):
    """An effect whose enrollment id belongs to another contact or workflow (E5)."""

    effect: int
    contact: str
    workflow: str
    """The owner; both are empty if the enrollment is in the slots of another shard. The
    contact of an erased row is given as the effect or a contender identifies it."""
    is_active: bool


class EndedRun(NamedTuple):
    """An effect whose enrollment had ended before (E12)."""

    effect: int
    enrolled_at: int
    accepted_until: int | None
    """A start that began at or before this time may be its start, or is of a deleted contact:
    because only the end of the enrollment is known, or the contact was deleted."""


@dataclass(frozen=True, slots=True)
class Committed:
    """The outcome of a commit."""

    effective: bytes
    """One byte for each effect: EFFECTIVE if its enrollment was inserted or updated, else 0. With
    EXCLUDES, if events had counted for the contact in the workflow before an enrollment was
    inserted: they do not count for it (E11)."""
    conflicts: Sequence[Conflict] = ()
    """In the order of their effects."""
    ended: Sequence[EndedRun] = ()
    """In the order of their effects, also of those in `conflicts`."""
    outbox: Sequence[StoredMessage] = ()
    """The outbox rows written, in the order of the change, ready to be published. The notices of
    reversals follow."""
    keeps_contacts: Sequence[str] = ()
    """The tenants of its `contact_events`, which have a projection of contacts from now on."""
    merges: Sequence[MergeOutcome] = ()
    """In the order of the change."""
    transitions: bytes = b""
    """One byte for each transition: 1 if its execution was inserted or updated, else 0."""
    missed_dropped: Sequence[str] = ()
    """The tenant of each enrollment whose missed event was not kept, because those of the tenant
    take too many bytes (E19)."""
    is_stale: bool = False
    """An effect or a transition did not find the row that memory expected: memory is stale, and
    the contacts of the batch must be loaded again."""
