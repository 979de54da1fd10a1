"""The durable state of a range of slots.

Every coroutine may raise `ServiceUnavailable` if the server is unreachable or refuses to
write (D6).
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from goald.domain.contacts.forwards import Forward
from goald.domain.contacts.merging import ContactKey, StoredContact
from goald.domain.ids import ContactId, TenantId
from goald.domain.leases import SlotLease, TakeoverPolicy, always_take_over
from goald.domain.slots import SlotRange
from goald.ports.change import Change, Committed
from goald.ports.configuration import Configuration, WorkflowKey
from goald.ports.executions.store import ExecutionStore
from goald.ports.outbox import Outbox

MISSED_BYTES: Final = 1 << 30
"""Of the events that the paused workflows of a tenant missed (E19), if nothing else is set."""
MOST_WAITING: Final = 1_000
"""Transfers that are read in one call."""
ENDED_OF_CONTACT: Final = 100
"""The ended enrollments of a contact that may be watched: the latest (E18)."""


class EnrollmentStart(NamedTuple):
    """An enrollment that an event would start."""

    tenant_id: TenantId
    enrollment_id: str
    contact_id: ContactId
    enrolled_at: int


class EventCheck(NamedTuple):
    """An event, by its key, that would count for an enrollment."""

    tenant_id: str
    contact_id: str
    workflow_id: str
    enrollment_id: str
    event: str
    received_at: int
    """When Redis received it."""
    next_merge: int = 0
    """When Redis received the first merge that moved the contact of the event afterwards; 0 if none
    did (E21)."""


class Excluded(NamedTuple):
    """An event, by its key and its time of receipt, that does not count for an enrollment (E11,
    E21)."""

    tenant_id: str
    enrollment_id: str
    event: str
    received_at: int


class EndedCheck(NamedTuple):
    """An event, by its key, that may count for an ended enrollment of its contact in a workflow
    (E18)."""

    tenant_id: str
    contact_id: str
    workflow_id: str
    event: str
    time: int
    """The event's time plus the allowed clock skew."""
    first_start: int
    """Goals with a window watch enrollments that began at or after this time."""
    first_end: int
    """Goals without one watch enrollments that ended at or after this time."""
    counts: bool = False
    """Whether it has counted for an enrollment that the same group ends."""

    def may_count(self, run: "WatchedRun") -> bool:
        """Whether the event may count for an enrollment of this contact in this workflow."""
        is_watched = run.enrolled_at >= self.first_start or run.ended_at >= self.first_end
        return is_watched and run.enrolled_at <= self.time and run.started_by != self.event


class WatchedRun(NamedTuple):
    """An enrollment that has ended, otherwise than by its goals."""

    enrollment_id: str
    status: str
    enrolled_at: int
    ended_at: int
    began_at: int
    """At the latest when its start was received."""
    met_goals: Sequence[str]
    match_values: str | None
    """As in `EffectColumns`."""
    started_by: str | None
    """The key of the event that started it."""
    merges: Sequence[int] = ()
    """The merges that moved it, each by when Redis received it, in order (E21)."""


class WatchedRuns(NamedTuple):
    """The enrollments for which events may count although they have ended."""

    runs: Mapping[tuple[str, str, str], Sequence[WatchedRun]]
    """By tenant, contact and workflow: the latest ones, at least those that may count."""
    counted: Collection[EndedCheck]
    """The checks whose event has counted in the workflow (E11)."""


def first_ends(checks: Iterable[EndedCheck]) -> dict[tuple[str, str, str], int]:
    """By tenant, contact and workflow: the earliest end for which one of these checks may count."""
    first: dict[tuple[str, str, str], int] = {}
    for check in checks:
        end = min(check.first_start, check.first_end)
        first[check[:3]] = min(end, first.get(check[:3], end))
    return first


class EndPosition(NamedTuple):
    """A position in the order of the ends of a slot."""

    ended_at: int
    enrollment_id: str = ""


class RunEnd(NamedTuple):
    """The end of an enrollment of a tenant."""

    slot: int
    position: EndPosition
    contact_id: str


class MissedEntry(NamedTuple):
    """The stream entry of an event that an enrollment missed while its workflow was paused
    (E19)."""

    tenant_id: str
    enrollment_id: str
    event: str
    """The key of the event."""
    entry_id: str
    payload: bytes
    old_tags: Sequence[int] = ()
    """As in `MissedEvent`."""


class MissedPosition(NamedTuple):
    """A position in the order in which the enrollments of a workflow are read."""

    slot: int
    enrollment_id: str


FIRST_MISSED = MissedPosition(-1, "")
"""Before all enrollments."""


class MissedPage(NamedTuple):
    """Some events that the enrollments of a workflow missed."""

    entries: Sequence[MissedEntry]
    end: MissedPosition | None
    """The position after which the next page starts. None: this is the last page."""


class Transfer(NamedTuple):
    """A merge whose enrollments have not all moved."""

    id: str
    tenant_id: TenantId
    contact_id: ContactId
    """The merged contact."""
    into_contact_id: ContactId
    """The contact that continues it, in these slots."""
    is_adopted: bool = False
    """The active enrollments have moved."""


class PassedOn(NamedTuple):
    """A merged contact, and the contact to which its events were passed on (E21)."""

    tenant_id: TenantId
    contact_id: ContactId
    into_contact_id: ContactId


RenameContact = Callable[[bytes, str], bytes]
"""Returns an event as an event of another contact. Raises ContentRefused if it cannot be read."""


class ShardStore(Protocol):
    """The durable state of a range of slots, read and written under one lease (D3)."""

    @property
    def outbox(self) -> Outbox:
        """The outbox of this store."""

    @property
    def executions(self) -> ExecutionStore:
        """The executions of this store."""

    async def acquire(
        self, slots: SlotRange, holder: str, takeover_policy: TakeoverPolicy = always_take_over
    ) -> SlotLease:
        """Acquire the lease of the slots, taking it over from current holders.

        Removes every overlapping lease, ends the backends of their holders, and commits a lease
        with a greater epoch than any before. Raises LeaseHeld, with nothing changed, if the
        policy rejects the takeover of one of them.
        """

    async def renew(self, lease: SlotLease, config_version: int) -> None:
        """Extend the lease, and record the configuration version that the holder has loaded.
        Raises LeaseLost."""

    async def release(self, lease: SlotLease) -> None:
        """Release the lease. Does nothing if it is held by another holder."""

    async def check(self, lease: SlotLease) -> None:
        """Read the lease, after an evaluation that changed nothing (D2). Raises LeaseLost."""

    async def configuration(self, after: int) -> Configuration:
        """Read the workflows of all tenants that changed or were deleted after this version, and
        the version reached. With 0, reads all workflows, and no deletions."""

    async def load(self, lease: SlotLease, sink: Callable[[bytes], object]) -> None:
        """Pass all active enrollments of the slots to `sink`, in pieces of the format that the
        matcher loads. Reads one snapshot. Raises LeaseLost; fails if row security hides rows."""

    async def load_contacts(
        self,
        lease: SlotLease,
        contacts: Sequence[tuple[TenantId, ContactId]],
        sink: Callable[[bytes], object],
    ) -> None:
        """As `load`, for the active enrollments of these contacts."""

    async def repeats(
        self, lease: SlotLease, starts: Sequence[EnrollmentStart]
    ) -> set[tuple[TenantId, str]]:
        """Return the (tenant, enrollment id) of the starts that begin no active enrollment: the
        id exists in these slots, or the contact was deleted at or after the start. A commit of
        the others begins one, unless the id exists in the slots of another shard. Raises
        LeaseLost."""

    async def excluded(self, lease: SlotLease, checks: Sequence[EventCheck]) -> set[Excluded]:
        """Return those of the checks whose event started the enrollment, or had counted for the
        contact in the workflow before the enrollment was inserted or moved (E11), or whose event
        was of another contact than the enrollment when Redis received it: the first merge after
        that differs (E21). An enrollment that does not exist would be inserted now. Raises
        LeaseLost."""

    async def ended(self, lease: SlotLease, checks: Sequence[EndedCheck]) -> WatchedRuns:
        """Return the enrollments for which the events of these checks may count (E18), at least: of
        the latest ENDED_OF_CONTACT enrollments of a contact that have ended, and that ended since
        the earliest time of the checks (`first_ends`), those that were not ended by their goals or
        by the deletion of the contact, whose goals were not all met since, and whose start is
        known. Raises LeaseLost."""

    async def ends(
        self,
        lease: SlotLease,
        tenant: TenantId,
        before: Mapping[int, EndPosition],
        first: int,
        limit: int,
    ) -> Sequence[RunEnd]:
        """Return the ends of a tenant's enrollments, by slot: those before the position of the
        slot, back to the time `first`, the latest first, up to `limit` of each slot. Without those
        by goals and of erased contacts. Reads no other rows. Raises LeaseLost."""

    async def contacts(
        self, lease: SlotLease, contacts: Sequence[ContactKey]
    ) -> Mapping[ContactKey, StoredContact]:
        """Return what is stored about each of these contacts; nothing about an unknown one. The
        caller may change it. Raises LeaseLost."""

    async def missed_workflows(
        self, lease: SlotLease, workflows: Sequence[WorkflowKey]
    ) -> Sequence[WorkflowKey]:
        """Return those of the workflows in which enrollments of the slots missed events (E19).
        Raises LeaseLost."""

    async def missed(
        self,
        lease: SlotLease,
        workflow: WorkflowKey,
        after: MissedPosition,
        limit: int,
        most_bytes: int,
    ) -> MissedPage:
        """Return the events that enrollments of the slots missed in a workflow in the last 30 days
        (E19): of the next enrollments after a position, up to `limit`, with at most `most_bytes`
        bytes of events, each counted once; but at least one. Leaves out enrollments that move to
        another contact. Raises LeaseLost."""

    async def forget_missed(
        self, lease: SlotLease, workflow: WorkflowKey, after: MissedPosition, limit: int
    ) -> MissedPosition | None:
        """Remove the missed events of up to `limit` enrollments of the slots in a workflow, of any
        time: the next ones after a position. Returns the end of the page, as in `MissedPage`.
        Raises LeaseLost."""

    async def forward_secret(self) -> str:
        """Return the secret of `forward_key`."""

    async def forwards(self, lease: SlotLease, after: int) -> tuple[Sequence[Forward], int]:
        """Return the forwards of contacts in these slots that changed after this number, and the
        number reached. Transactions in flight may have smaller numbers. Raises LeaseLost."""

    async def ended_forwards(
        self, lease: SlotLease, contacts: Collection[PassedOn]
    ) -> set[PassedOn]:
        """Return those of the merged contacts whose events do not count for the other contact any
        more: it was deleted, or the two continue under different contacts. Raises LeaseLost."""

    async def transfers(self, lease: SlotLease) -> Sequence[Transfer]:
        """Return merges into contacts of these slots whose enrollments have not all moved, without
        those that were refused less than some minutes ago: first those whose active enrollments
        have not. The tenants take turns: of each the oldest, then of each the second, up to
        MOST_WAITING in all. Raises LeaseLost."""

    async def adopt(self, lease: SlotLease, transfer: Transfer, rename: RenameContact) -> bool:
        """Move a bounded number of active enrollments of a merged contact, with their missed
        events, to the contact that continues it; after the last of them the used events, and then
        the projection. One transaction, which locks the lease row. Returns whether to call it
        again. Does nothing if they have moved. Load the contact again before evaluating anything.

        Raises LeaseLost, or ContentRefused if Postgres refuses a row for its content; both with
        nothing moved."""

    async def move_ended(self, lease: SlotLease, transfer: Transfer, rename: RenameContact) -> bool:
        """As `adopt`, for the ended enrollments of a merge that is adopted."""

    async def refuse(self, lease: SlotLease, transfer: Transfer, reason: str) -> None:
        """Record that `adopt` or `move_ended` was refused. Its rows stay where they are until an
        attempt succeeds, some minutes later or after that. Raises LeaseLost."""

    async def commit(self, lease: SlotLease, change: Change) -> Committed:
        """Write a change in one transaction that locks the lease row.

        Inserts new enrollments whose ids are free, and updates enrollments that are still
        active. Writes achievements and outbox rows only for enrollments that were actually
        inserted or updated, as well as used events. Inserts and updates executions if their guards
        match. Repeating a change changes nothing (D1).

        Raises LeaseLost, or ContentRefused if Postgres refuses a row for its content (D4); both
        with nothing written. Raises CommitUnknown if the outcome is unknown: load the contacts
        again before evaluating anything.
        """

    async def close(self) -> None:
        """Close the connections."""
