"""The state of shards in memory, without Postgres.

For unit tests and dry runs. The state is lost when the process ends.
"""

from collections.abc import Callable, Collection, Mapping, Sequence

from goald.adapters.memory import missed
from goald.adapters.memory.contact_rows import read_contacts, write_contacts
from goald.adapters.memory.database import (
    MemoryDatabase,
    OutboxEntry,
    StoredAchievement,
    StoredEnrollment,
    copy_binary,
    is_end_only,
    update,
)
from goald.adapters.memory.ended import runs as ended_runs
from goald.adapters.memory.ended.reversals import undo
from goald.adapters.memory.erasure.contact import erase, new_pseudonym
from goald.adapters.memory.executions import commit as executions
from goald.adapters.memory.executions.store import MemoryExecutionStore
from goald.adapters.memory.merging import merges
from goald.adapters.memory.outbox import MemoryOutbox, acknowledge
from goald.adapters.memory.used_events import excludes, use
from goald.domain.configuration.goals import TYPE_BITS
from goald.domain.contacts.forwards import Forward
from goald.domain.contacts.merging import ContactKey, StoredContact
from goald.domain.errors import ContentRefused, LeaseLost
from goald.domain.ids import ContactId, TenantId
from goald.domain.leases import SlotLease, TakeoverPolicy, always_take_over
from goald.domain.records.erasure import PSEUDONYM_PREFIX, Tombstone, contact_of_row
from goald.domain.slots import SlotRange
from goald.domain.streams import OutboundStream
from goald.ports.change import (
    EFFECTIVE,
    AchievementColumns,
    Change,
    Committed,
    Conflict,
    EffectColumns,
    EndedRun,
)
from goald.ports.clock import Clock
from goald.ports.configuration import Configuration, WorkflowKey
from goald.ports.executions.store import ExecutionStore
from goald.ports.outbound import Message
from goald.ports.outbox import Outbox, StoredMessage
from goald.ports.shard_store import (
    MISSED_BYTES,
    EndedCheck,
    EndPosition,
    EnrollmentStart,
    EventCheck,
    Excluded,
    MissedPage,
    MissedPosition,
    PassedOn,
    RenameContact,
    RunEnd,
    Transfer,
    WatchedRuns,
)


class MemoryShardStore:
    """`ports.ShardStore` over tables that several stores may share."""

    def __init__(
        self,
        database: MemoryDatabase,
        clock: Clock,
        *,
        publishes_refunds: bool = False,
        missed_bytes: int = MISSED_BYTES,
    ) -> None:
        self._tables = database
        self._clock = clock
        self._publishes_refunds = publishes_refunds
        self._missed_bytes = missed_bytes
        self._outbox = MemoryOutbox(database, clock)
        self._executions = MemoryExecutionStore(database, clock, self._require)

    @property
    def outbox(self) -> Outbox:
        return self._outbox

    @property
    def executions(self) -> ExecutionStore:
        return self._executions

    async def acquire(
        self, slots: SlotRange, holder: str, takeover_policy: TakeoverPolicy = always_take_over
    ) -> SlotLease:
        leases = self._tables.slot_leases
        overlapping = [lease for lease in leases.values() if _overlap(lease.slots, slots)]
        self._tables.require_free(overlapping, takeover_policy)
        for replaced in overlapping:
            del leases[replaced.epoch]
        lease = SlotLease(slots, self._tables.next_epoch(), holder)
        leases[lease.epoch] = lease
        return lease

    async def renew(self, lease: SlotLease, config_version: int) -> None:
        self._require(lease)
        self._tables.renew(lease.epoch)
        self._tables.config_versions[lease.epoch] = config_version

    async def release(self, lease: SlotLease) -> None:
        self._tables.slot_leases.pop(lease.epoch, None)

    async def check(self, lease: SlotLease) -> None:
        self._require(lease)

    async def configuration(self, after: int) -> Configuration:
        changed = [row for row in self._tables.workflows if row[0] > after]
        deleted = [row for row in self._tables.deleted_workflows if row[0] > after]
        keeps = {t: v for t, v in self._tables.contact_tenants.items() if v > after}
        versions = [version for version, _ in (*changed, *deleted)]
        return Configuration(
            max(after, *versions, *keeps.values(), 0),
            [workflow for _, workflow in changed],
            [pair for _, pair in deleted] if after else [],
            tuple(keeps),
        )

    async def load(self, lease: SlotLease, sink: Callable[[bytes], object]) -> None:
        self._require(lease)
        sink(copy_binary(self._tables.active(lease.slots)))

    async def load_contacts(
        self,
        lease: SlotLease,
        contacts: Sequence[tuple[TenantId, ContactId]],
        sink: Callable[[bytes], object],
    ) -> None:
        self._require(lease)
        keys = set(contacts)
        rows = self._tables.active(lease.slots)
        sink(copy_binary(row for row in rows if (row.tenant_id, row.contact_id) in keys))

    async def repeats(
        self, lease: SlotLease, starts: Sequence[EnrollmentStart]
    ) -> set[tuple[TenantId, str]]:
        self._require(lease)
        return {(start.tenant_id, start.enrollment_id) for start in starts
                if self._is_repeat(start, lease.slots)}  # fmt: skip

    def _is_repeat(self, start: EnrollmentStart, slots: SlotRange) -> bool:
        row = self._tables.enrollments.get((start.tenant_id, start.enrollment_id))
        deleted = self._tables.deleted.get((start.tenant_id, start.contact_id))
        is_here = row is not None and slots.first <= row.slot <= slots.last
        return is_here or (deleted is not None and deleted.covers(start.enrolled_at))

    async def excluded(self, lease: SlotLease, checks: Sequence[EventCheck]) -> set[Excluded]:
        self._require(lease)
        found = (check for check in checks if excludes(self._tables, check))
        return {Excluded(of.tenant_id, of.enrollment_id, of.event, of.received_at) for of in found}

    async def ended(self, lease: SlotLease, checks: Sequence[EndedCheck]) -> WatchedRuns:
        self._require(lease)
        return ended_runs.read(self._tables, checks)

    async def ends(
        self,
        lease: SlotLease,
        tenant: TenantId,
        before: Mapping[int, EndPosition],
        first: int,
        limit: int,
    ) -> Sequence[RunEnd]:
        self._require(lease)
        return ended_runs.ends(self._tables, tenant, before, first, limit)

    async def contacts(
        self, lease: SlotLease, contacts: Sequence[ContactKey]
    ) -> Mapping[ContactKey, StoredContact]:
        self._require(lease)
        return read_contacts(self._tables, contacts)

    async def missed_workflows(
        self, lease: SlotLease, workflows: Sequence[WorkflowKey]
    ) -> Sequence[WorkflowKey]:
        self._require(lease)
        return missed.of_workflows(self._tables, lease.slots, workflows)

    async def missed(
        self,
        lease: SlotLease,
        workflow: WorkflowKey,
        after: MissedPosition,
        limit: int,
        most_bytes: int,
    ) -> MissedPage:
        self._require(lease)
        return missed.read(self._tables, lease.slots, workflow, after, limit, most_bytes)

    async def forget_missed(
        self, lease: SlotLease, workflow: WorkflowKey, after: MissedPosition, limit: int
    ) -> MissedPosition | None:
        self._require(lease)
        return missed.forget(self._tables, lease.slots, workflow, after, limit)

    async def forward_secret(self) -> str:
        return merges.KEY_OF_FORWARDS

    async def forwards(self, lease: SlotLease, after: int) -> tuple[Sequence[Forward], int]:
        self._require(lease)
        return merges.changed(self._tables, lease.slots, after)

    async def ended_forwards(
        self, lease: SlotLease, contacts: Collection[PassedOn]
    ) -> set[PassedOn]:
        self._require(lease)
        return merges.ended(self._tables, contacts)

    async def transfers(self, lease: SlotLease) -> Sequence[Transfer]:
        self._require(lease)
        return merges.due(self._tables, lease.slots, self._clock.monotonic())

    async def adopt(self, lease: SlotLease, transfer: Transfer, rename: RenameContact) -> bool:
        self._require(lease)
        merges.adopt(self._tables, transfer.id, rename)
        return False

    async def move_ended(self, lease: SlotLease, transfer: Transfer, rename: RenameContact) -> bool:
        self._require(lease)
        return False

    async def refuse(self, lease: SlotLease, transfer: Transfer, reason: str) -> None:
        self._require(lease)
        merges.refuse(self._tables, transfer.id, reason, self._clock.monotonic())

    async def commit(self, lease: SlotLease, change: Change) -> Committed:
        self._require(lease)
        effects = change.effects
        if not self._tables.refused_contacts.isdisjoint(effects.contact_id):
            raise ContentRefused("Postgres refuses it: 23514: a contact that is refused")
        effective = bytearray(len(effects.tenant_id))
        conflicts: list[Conflict] = []
        ended: list[EndedRun] = []
        torn, after_end = executions.unmatched(self._tables, change.executions), effects.after_end
        differs = False
        for i, is_new in ((i, new) for i, new in enumerate(effects.is_new) if not after_end[i]):
            row = self._tables.enrollments.get((effects.tenant_id[i], effects.enrollment_id[i]))
            deleted = self._tables.deleted.get((effects.tenant_id[i], effects.contact_id[i]))
            if is_new and row is None:
                received_at = effects.received_at[i]
                began = effects.enrolled_at[i] if received_at is None else received_at
                if deleted is not None and deleted.covers(began):
                    self._insert_erased(effects, i, deleted)
                else:
                    row = self._insert(effects, i)
                    if deleted is not None and is_end_only(row) and received_at is None:
                        row.contact_id = deleted.pseudonym or new_pseudonym()
                        row.match_values = None
                    effective[i] = EFFECTIVE
            elif is_new and row is not None:
                conflict = self._compare(row, change, i, lease.slots)
                owner = effects.contact_id[i] if conflict is None else conflict.contact
                ended += self._ended(row, i, owner, lease.slots)
                if conflict is not None:
                    conflicts.append(conflict)
                else:
                    differs |= row.status == "active"
            elif row is not None and row.status == "active" and i not in torn:
                update(row, effects, i)
                effective[i] = EFFECTIVE
            else:
                differs = True
        ended_runs.meet(self._tables, change, effective)
        now = self._clock.monotonic()
        written = executions.write(self._tables, change.executions, effective, now)
        self._achieve(effects, change.achievements, effective)
        use(self._tables, change, effective)
        outbox = self._enqueue(effects, change, effective)
        for reversal in change.reversals:
            outbox += undo(self._tables, reversal, self._publishes_refunds, now)
        acknowledge(self._tables, change)
        dropped = missed.drop_and_keep(self._tables, change, self._missed_bytes)
        keeps = write_contacts(self._tables, change)
        differs |= erase(self._tables, change) or written[1]
        merged = merges.begin(self._tables, change, self._clock.monotonic())
        return Committed(
            bytes(effective), conflicts, ended, outbox, keeps, merged, written[0], dropped, differs
        )

    async def close(self) -> None:
        """Nothing is open."""

    def _require(self, lease: SlotLease) -> None:
        if lease.epoch not in self._tables.slot_leases:
            raise LeaseLost(f"epoch {lease.epoch} no longer holds slots {lease.slots}")

    def _insert(self, effects: EffectColumns, i: int) -> StoredEnrollment:
        key = (effects.tenant_id[i], effects.enrollment_id[i])
        row = self._tables.enrollments[key] = StoredEnrollment(
            *key,
            contact_id=effects.contact_id[i],
            workflow_id=effects.workflow_id[i],
            slot=effects.slot[i],
            status=effects.status[i],
            enrolled_at=effects.enrolled_at[i],
            ended_at=effects.ended_at[i],
            met_goals=list(effects.met_goals[i]),
            pending_actions=effects.pending_actions[i],
            started_by=effects.started_by[i],
            match_values=effects.match_values[i],
            received_at=effects.received_at[i],
            merges=tuple(effects.merges[i]),
            created=self._tables.next_number(),
        )
        return row

    def _insert_erased(self, effects: EffectColumns, i: int, deleted: Tombstone) -> None:
        """Insert an enrollment that began before its contact was deleted."""
        row = self._insert(effects, i)
        row.contact_id = deleted.pseudonym or new_pseudonym()
        row.status, row.ended_at, row.met_goals = "cancelled", row.enrolled_at, []
        row.match_values = None

    def _compare(
        self, row: StoredEnrollment, change: Change, i: int, slots: SlotRange
    ) -> Conflict | None:
        """Compare an effect with the enrollment that has its id. None if it is its own."""
        effects = change.effects
        deleted = self._tables.deleted.get((row.tenant_id, effects.contact_id[i]))
        began = effects.received_at[i] or effects.enrolled_at[i]
        is_of_deleted = deleted is not None and deleted.covers(began)
        if not slots.first <= row.slot <= slots.last:
            # If the contact was deleted, it may have moved (E21).
            return None if is_of_deleted else Conflict(i, "", "", is_active=False)
        contacts = [effects.contact_id[i]]
        contacts += [each.contact_id for each in change.contenders if each.effect == i]
        tombstones = (self._tables.deleted.get((row.tenant_id, each)) for each in contacts)
        contact = contact_of_row(row.contact_id, zip(contacts, tombstones, strict=True))
        if (contact, row.workflow_id) == (effects.contact_id[i], effects.workflow_id[i]):
            return None
        if is_of_deleted and contact.startswith(PSEUDONYM_PREFIX):
            return None
        return Conflict(i, contact, row.workflow_id, row.status == "active")

    def _ended(self, row: StoredEnrollment, i: int, owner: str, slots: SlotRange) -> list[EndedRun]:
        """The enrollment of an effect, if it is in these slots and had ended."""
        if row.ended_at is None or not slots.first <= row.slot <= slots.last:
            return []
        deleted = self._tables.deleted.get((row.tenant_id, owner))
        until = [row.enrolled_at] if is_end_only(row) else []
        until += [] if deleted is None else [deleted.deleted_at]
        return [EndedRun(i, row.enrolled_at, max(until, default=None))]

    def _achieve(
        self, effects: EffectColumns, achievements: AchievementColumns, effective: bytearray
    ) -> None:
        columns = zip(
            achievements.effect, achievements.id, achievements.goal_id, achievements.goal_type,
            achievements.achieved_at, achievements.trigger_event, achievements.metadata,
            strict=True,
        )  # fmt: skip
        for i, id_, goal_id, goal_type, at, trigger_event, metadata in columns:
            if effective[i]:
                row = self._tables.enrollments[effects.tenant_id[i], effects.enrollment_id[i]]
                after_end = effects.after_end[i]
                before = row.last_achieved_at
                if not after_end:
                    row.last_achieved_at = at if before is None else max(before, at)
                    row.met_types |= TYPE_BITS[goal_type]
                self._tables.achievements.append(
                    StoredAchievement(
                        id_, row, goal_id, goal_type, at, trigger_event, metadata, after_end
                    )
                )

    def _enqueue(
        self, effects: EffectColumns, change: Change, effective: bytearray
    ) -> list[StoredMessage]:
        stored = []
        for row in change.outbox:
            i = row.effect
            if effective[i]:
                number = self._tables.next_number()
                is_exit = row.stream is OutboundStream.EXITS
                self._tables.outbox[number] = OutboxEntry(
                    number, effects.tenant_id[i], effects.contact_id[i], effects.slot[i],
                    row.stream, row.payload, effects.enrollment_id[i],
                    created_at=self._clock.monotonic(),
                    enrollment_id=effects.enrollment_id[i] if is_exit else None,
                )  # fmt: skip
                stored.append(StoredMessage(number, Message(row.stream, row.payload)))
        return stored


def _overlap(first: SlotRange, second: SlotRange) -> bool:
    return first.first <= second.last and second.first <= first.last
