"""Reads the executions of a range of slots."""

from collections.abc import Callable, Iterable, Sequence

from goald.adapters.memory.database import MemoryDatabase
from goald.adapters.memory.stored.executions import StoredExecution, copy_executions
from goald.domain.contacts.merging import ContactKey
from goald.domain.ids import ContactId, TenantId
from goald.domain.leases import SlotLease
from goald.domain.slots import SlotRange
from goald.ports.clock import Clock
from goald.ports.configuration import WorkflowKey
from goald.ports.executions.store import (
    EntryCheck,
    EntryFacts,
    ExecutionKey,
    ExecutionStart,
    OutstandingJob,
    StoredPlan,
    WaitCheck,
)


class MemoryExecutionStore:
    """`ports.ExecutionStore`."""

    def __init__(
        self, database: MemoryDatabase, clock: Clock, require: Callable[[SlotLease], None]
    ) -> None:
        """`require`: raises LeaseLost for a lease that is not stored."""
        self._tables = database
        self._clock = clock
        self._require = require

    async def load(self, lease: SlotLease, sink: Callable[[bytes], object]) -> None:
        self._require(lease)
        sink(copy_executions(self._open(lease.slots)))

    async def load_contacts(
        self,
        lease: SlotLease,
        contacts: Sequence[tuple[TenantId, ContactId]],
        sink: Callable[[bytes], object],
    ) -> None:
        self._require(lease)
        keys: set[tuple[str, str]] = set(contacts)
        rows = self._open(lease.slots)
        sink(copy_executions(each for each in rows if (each[0].tenant_id, each[1]) in keys))

    async def plans(
        self, lease: SlotLease, workflows: Sequence[WorkflowKey] | None = None
    ) -> Sequence[StoredPlan]:
        self._require(lease)
        published = sorted(
            self._tables.of_executions.definitions,
            key=lambda of: (of.tenant_id, of.workflow_id, of.version),
        )
        current = {
            (of.tenant_id, of.workflow_id): of.version for of in published if not of.is_deleted
        }
        used = {(row.tenant_id, row.workflow_id, row.version) for row, _ in self._open(lease.slots)}
        plans = []
        for of in published:
            key = WorkflowKey(of.tenant_id, of.workflow_id)
            is_current = not of.is_deleted and current.get(key) == of.version
            if is_current if workflows is not None else is_current or (*key, of.version) in used:
                plans.append(StoredPlan(*key, of.version, of.plan, is_current))
        return [of for of in plans if workflows is None or of[:2] in workflows]

    async def pinned_plans(self, lease: SlotLease, contact: ContactKey) -> Sequence[StoredPlan]:
        rows = [row for row, of in self._open(lease.slots) if (row.tenant_id, of) == contact]
        keys = {WorkflowKey(row.tenant_id, row.workflow_id) for row in rows}
        current = await self.plans(lease, sorted(keys))
        used = {(row.tenant_id, row.workflow_id, row.version) for row in rows}
        known = {plan[:3] for plan in current}
        return [
            *current,
            *(
                StoredPlan(of.tenant_id, of.workflow_id, of.version, of.plan, False)
                for of in self._tables.of_executions.definitions
                if (key := (of.tenant_id, of.workflow_id, of.version)) in used and key not in known
            ),
        ]

    async def starts(self, lease: SlotLease, checks: Sequence[EntryCheck]) -> Sequence[EntryFacts]:
        self._require(lease)
        return [self._facts(check, lease.slots) for check in checks]

    def _facts(self, check: EntryCheck, slots: SlotRange) -> EntryFacts:
        tenant, contact, workflow, execution = check
        row = self._tables.enrollments.get((tenant, execution))
        entry = self._tables.of_executions.entries.get((tenant, contact, workflow))
        return EntryFacts(
            row is not None and slots.first <= row.slot <= slots.last,
            None if entry is None else entry.last_started_ms,
        )

    async def used(self, lease: SlotLease, checks: Sequence[WaitCheck]) -> set[WaitCheck]:
        self._require(lease)
        rows = self._tables.of_executions.executions
        return {
            check
            for check in checks
            if (row := rows.get(check[:2])) is not None and check.event in row.used_events
        }

    async def jobs(
        self, lease: SlotLease, executions: Sequence[ExecutionKey]
    ) -> Sequence[OutstandingJob]:
        self._require(lease)
        rows = self._tables.of_executions.executions
        found = (
            row
            for key in executions
            if (row := rows.get((key.tenant_id, key.execution_id))) is not None
        )
        return [
            OutstandingJob(
                row.tenant_id, row.id, self._tables.enrollments[row.tenant_id, row.id].contact_id,
                row.step_id, row.visit, row.attempt, row.action, row.connection, row.gate,
                int((self._clock.monotonic() - row.written_at) * 1_000),
            )
            for row in found
            if row.gate is not None and row.reason is None
        ]  # fmt: skip

    async def begun(
        self, lease: SlotLease, executions: Sequence[ExecutionKey]
    ) -> Sequence[ExecutionStart]:
        self._require(lease)
        rows = self._tables.of_executions.executions
        found = (
            row
            for key in executions
            if (row := rows.get((key.tenant_id, key.execution_id))) is not None
        )
        return [
            ExecutionStart(row.tenant_id, row.id, row.started_at_ms * 1_000, row.variables)
            for row in found
        ]

    def _open(self, slots: SlotRange) -> Iterable[tuple[StoredExecution, str]]:
        """The open executions of these slots that are not to move, with their contacts."""
        for row in self._tables.of_executions.executions.values():
            enrollment = self._tables.enrollments[row.tenant_id, row.id]
            if (
                row.reason is None
                and slots.first <= enrollment.slot <= slots.last
                and not self._tables.is_moving(enrollment)
            ):
                yield row, enrollment.contact_id
