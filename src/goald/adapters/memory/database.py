"""goald's Postgres tables in memory, shared by the stores of one process."""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from goald.adapters.memory.stored.executions import ExecutionTables
from goald.domain.contacts.stored import ContactColumns
from goald.domain.errors import LeaseHeld
from goald.domain.leases import (
    CurrentLease,
    SlotLease,
    StreamLease,
    TakeoverPolicy,
    describe_holder,
)
from goald.domain.records.enrollment import EnrollmentStatus
from goald.domain.records.erasure import Tombstone
from goald.domain.slots import SlotRange
from goald.domain.streams import OutboundStream
from goald.ports.change import EffectColumns
from goald.ports.configuration import WorkflowConfiguration


@dataclass
class StoredEnrollment:
    """One row of workflow_enrollments."""

    tenant_id: str
    id: str
    contact_id: str
    workflow_id: str
    slot: int
    status: EnrollmentStatus
    enrolled_at: int
    ended_at: int | None
    met_goals: list[str]
    pending_actions: int | None
    received_at: int | None = None
    last_achieved_at: int | None = None
    met_types: int = 0
    cancelled_actions: int | None = None
    exit_acknowledged_at: int | None = None
    refunded_at: int | None = None
    appointment_cancelled_at: int | None = None
    started_by: str | None = None
    match_values: str | None = None
    used_before: int | None = None
    merges: tuple[int, ...] = ()
    met_after_end_at: int | None = None
    created: int = 0
    """In the order of `MemoryDatabase.next_number`."""


@dataclass
class StoredAchievement:
    """One row of workflow_goal_achievements."""

    id: str
    enrollment: StoredEnrollment
    goal_config_id: str
    goal_type: str
    achieved_at: int
    trigger_event: str
    metadata: str
    after_end: bool = False


@dataclass
class StoredUse:
    """One row of used_events."""

    number: int
    enrolled_at: int
    received_at: int
    merges: tuple[int, ...] = ()


@dataclass
class StoredForward:
    """One row of forwards."""

    slot: int
    target: str | None
    """The contact that continues."""
    merged_at: int
    number: int
    """Of the change."""
    events: list[str]
    """The merges, by the keys of their events."""
    deleted_at: int | None = None
    """When the contact that continued was deleted."""
    contact_id: str = ""
    """The merged contact. Postgres has only a hash of it."""
    merges: tuple[int, ...] = ()


@dataclass
class StoredTransfer:
    """One row of transfers."""

    tenant_id: str
    contact_id: str
    into_contact_id: str
    merged_at: int
    merges: tuple[int, ...]
    contact: ContactColumns | None
    created: int
    """As of enrollments. Later enrollments are of a new life of the merged contact."""
    created_at: float
    """By the monotonic clock, as the times below."""
    reason: str | None = None
    refused_at: float | None = None
    retry_at: float | None = None


@dataclass
class StoredMissed:
    """One row of missed_runs, with its row of missed_events."""

    workflow_id: str
    slot: int
    event: str
    entry_id: str
    payload: bytes
    old_tags: Sequence[int]


@dataclass
class OutboxEntry:
    """One row of the outbox."""

    number: int
    tenant_id: str
    contact_id: str
    slot: int
    stream: OutboundStream
    payload: str
    of_enrollment: str
    redact_when_published: bool = False
    created_at: float = 0.0
    published_at: float | None = None
    enrollment_id: str | None = None
    """The enrollment of an exit that awaits its acknowledgement."""


@dataclass
class MemoryDatabase:
    """The tables. Stores that share a database share its leases and rows."""

    name: str = "memory"
    """Identifies the database."""
    enrollments: dict[tuple[str, str], StoredEnrollment] = field(default_factory=dict)
    achievements: list[StoredAchievement] = field(default_factory=list)
    outbox: dict[int, OutboxEntry] = field(default_factory=dict)
    used_events: dict[tuple[str, str, str], dict[str, StoredUse]] = field(default_factory=dict)
    """By tenant, contact and workflow, then by event key."""
    missed: dict[tuple[str, str], StoredMissed] = field(default_factory=dict)
    """By tenant and enrollment."""
    deleted: dict[tuple[str, str], Tombstone] = field(default_factory=dict)
    """By tenant and contact."""
    contacts: dict[tuple[str, str], ContactColumns] = field(default_factory=dict)
    """The projection, by tenant and contact."""
    contact_tenants: dict[str, int] = field(default_factory=dict)
    """The configuration version since which a tenant has a projection."""
    case_sensitive_tenants: set[str] = field(default_factory=set)
    """The tenants that distinguish names of tags by case."""
    forwards: dict[tuple[str, str], StoredForward] = field(default_factory=dict)
    """By tenant and key."""
    transfers: dict[str, StoredTransfer] = field(default_factory=dict)
    of_executions: ExecutionTables = field(default_factory=ExecutionTables)
    workflows: list[tuple[int, WorkflowConfiguration]] = field(default_factory=list)
    """(version, workflow)."""
    deleted_workflows: list[tuple[int, tuple[str, str]]] = field(default_factory=list)
    """(version, (tenant, workflow)). A workflow that was deleted is not in `workflows`."""
    slot_leases: dict[int, SlotLease] = field(default_factory=dict)
    stream_leases: dict[int, StreamLease] = field(default_factory=dict)
    config_versions: dict[int, int] = field(default_factory=dict)
    """The configuration version that the holder of each epoch last reported."""
    renewals: dict[int, int] = field(default_factory=dict)
    refused_contacts: set[str] = field(default_factory=set)
    """Contacts whose enrollments a commit rejects, as a constraint of the table does."""
    last_epoch: int = 0
    last_number: int = 0

    def next_epoch(self, above: int = 0) -> int:
        self.last_epoch = max(self.last_epoch, above) + 1
        return self.last_epoch

    def renew(self, epoch: int) -> None:
        """Record the renewal of a lease. Leases in memory do not expire."""
        self.renewals[epoch] = self.renewals.get(epoch, 0) + 1

    def require_free(
        self, leases: Sequence[SlotLease | StreamLease], takeover_policy: TakeoverPolicy
    ) -> None:
        """Raise LeaseHeld if the policy does not allow to take over one of these leases."""
        for lease in leases:
            renewed = float(self.renewals.get(lease.epoch, 0))
            if not takeover_policy(
                CurrentLease(lease.epoch, lease.holder, renewed, is_expired=False)
            ):
                raise LeaseHeld(f"it is held by {describe_holder(lease.holder)}")

    def next_number(self) -> int:
        self.last_number += 1
        return self.last_number

    def next_version(self) -> int:
        """A configuration version that is greater than any other."""
        versions = [version for version, _ in (*self.workflows, *self.deleted_workflows)]
        return max([0, *versions, *self.contact_tenants.values()]) + 1

    def active(self, slots: SlotRange) -> list[StoredEnrollment]:
        """The active enrollments of these slots that are not to move to another contact."""
        return [
            row
            for row in self.enrollments.values()
            if row.status == "active"
            and slots.first <= row.slot <= slots.last
            and not self.is_moving(row)
        ]

    def is_moving(self, row: StoredEnrollment) -> bool:
        """Whether an enrollment is to move to another contact."""
        return any(
            (each.tenant_id, each.contact_id) == (row.tenant_id, row.contact_id)
            and row.created <= each.created
            for each in self.transfers.values()
        )


def copy_binary(rows: Iterable[StoredEnrollment]) -> bytes:
    """Enrollments in the format of Postgres's binary COPY, for `_native.Matcher.load`."""
    pieces = [b"PGCOPY\n\xff\r\n\x00", struct.pack(">ii", 0, 0)]
    for row in rows:
        fields = [row.tenant_id, row.id, row.contact_id, row.workflow_id]
        values = [text.encode() for text in fields]
        values += [struct.pack(">q", row.enrolled_at), ",".join(row.met_goals).encode()]
        excludes = (row.used_before, row.started_by) != (None, None) or bool(row.merges)
        values.append(bytes([excludes]))
        if row.received_at is not None and row.received_at > row.enrolled_at:
            values[-1] += struct.pack(">q", row.received_at)
        values.append((row.match_values or "").encode())
        pieces.append(struct.pack(">h", len(values)))
        pieces += [struct.pack(">i", len(value)) + value for value in values]
    return b"".join([*pieces, struct.pack(">h", -1)])


def began_at(row: StoredEnrollment) -> int:
    """When an enrollment began for its contact: at the latest when its start was received, and at
    the earliest when it moved to the contact (E21)."""
    return row.enrolled_at if row.received_at is None else row.received_at


def update(row: StoredEnrollment, effects: EffectColumns, i: int) -> None:
    """Apply an effect to an active enrollment."""
    row.status, row.ended_at = effects.status[i], effects.ended_at[i]
    row.met_goals += list(effects.met_goals[i])
    if row.ended_at is not None and row.ended_at <= row.enrolled_at:
        row.received_at = began_at(row)  # its start is known (E18)


def is_end_only(row: StoredEnrollment) -> bool:
    """Whether perhaps only the end of an enrollment is known."""
    has_goals = row.status == "completed_goal" or bool(row.met_goals)
    return row.ended_at == row.enrolled_at and not has_goals and not start_is_known(row)


def start_is_known(row: StoredEnrollment) -> bool:
    """Whether the time of receipt proves it. A merge (E21) is later than the enrollment."""
    return row.received_at is not None and row.received_at <= row.enrolled_at
