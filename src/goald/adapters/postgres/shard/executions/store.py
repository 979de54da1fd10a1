"""Reads the executions of a range of slots."""

from collections.abc import Callable, Sequence
from typing import Any

from goald.adapters.postgres.connection import Connection
from goald.adapters.postgres.session_statements import READ_SNAPSHOT
from goald.adapters.postgres.shard.executions import statements
from goald.adapters.postgres.shard.leases import require
from goald.adapters.postgres.shard.statements import READ_LEASE
from goald.domain.contacts.merging import ContactKey
from goald.domain.ids import ContactId, TenantId
from goald.domain.leases import SlotLease
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

LOAD_SECONDS = 600.0


class PostgresExecutionStore:
    """`ports.ExecutionStore`, over the connection of a shard store."""

    def __init__(self, writer: Connection) -> None:
        self._writer = writer

    async def load(self, lease: SlotLease, sink: Callable[[bytes], object]) -> None:
        await copy_rows(
            self._writer, lease, sink, statements.LOAD, lease.slots.first, lease.slots.last
        )

    async def load_contacts(
        self,
        lease: SlotLease,
        contacts: Sequence[tuple[TenantId, ContactId]],
        sink: Callable[[bytes], object],
    ) -> None:
        columns = [tenant for tenant, _ in contacts], [contact for _, contact in contacts]
        await copy_rows(self._writer, lease, sink, statements.LOAD_CONTACTS, *columns)

    async def plans(
        self, lease: SlotLease, workflows: Sequence[WorkflowKey] | None = None
    ) -> Sequence[StoredPlan]:
        async with self._writer.transaction(lease.slots, READ_SNAPSHOT) as connection:
            await require(connection, READ_LEASE, lease)
            if workflows is not None:
                tenants, ids = [key.tenant_id for key in workflows], [w for _, w in workflows]
                rows = await connection.fetch(statements.PLANS_OF, tenants, ids)
                return [StoredPlan(*row) for row in rows]
            current = await connection.fetch(statements.PLANS)
            used = await connection.fetch(
                statements.USED_PLANS, lease.slots.first, lease.slots.last
            )
        plans = [StoredPlan(*row) for row in current]
        known = {plan[:3] for plan in plans}
        return plans + [StoredPlan(*row) for row in used if tuple(row)[:3] not in known]

    async def pinned_plans(self, lease: SlotLease, contact: ContactKey) -> Sequence[StoredPlan]:
        async with self._writer.transaction(lease.slots, READ_SNAPSHOT) as connection:
            await require(connection, READ_LEASE, lease)
            rows = await connection.fetch(statements.PINNED_PLANS, *contact)
        return [StoredPlan(*row) for row in rows]

    async def starts(self, lease: SlotLease, checks: Sequence[EntryCheck]) -> Sequence[EntryFacts]:
        rows = await self._fetch(lease, statements.STARTS, checks)
        return [EntryFacts(*row) for row in rows]

    async def used(self, lease: SlotLease, checks: Sequence[WaitCheck]) -> set[WaitCheck]:
        rows = await self._fetch(lease, statements.USED, checks)
        return {checks[place - 1] for (place,) in rows}

    async def jobs(
        self, lease: SlotLease, executions: Sequence[ExecutionKey]
    ) -> Sequence[OutstandingJob]:
        rows = await self._fetch(lease, statements.JOBS, executions)
        return [OutstandingJob(*row) for row in rows]

    async def begun(
        self, lease: SlotLease, executions: Sequence[ExecutionKey]
    ) -> Sequence[ExecutionStart]:
        rows = await self._fetch(lease, statements.BEGUN, executions)
        return [ExecutionStart(*row) for row in rows]

    async def _fetch(self, lease: SlotLease, statement: str, keys: Sequence[Any]) -> Sequence[Any]:
        """The rows of a statement over the columns of these keys."""
        if not keys:
            return []
        async with self._writer.transaction(lease.slots) as connection:
            await require(connection, READ_LEASE, lease)
            rows: Sequence[Any] = await connection.fetch(statement, *zip(*keys, strict=True))
        return rows


async def copy_rows(
    writer: Connection,
    lease: SlotLease,
    sink: Callable[[bytes], object],
    query: str,
    *arguments: Any,
) -> None:
    """Stream the rows of a query to `sink`, in the binary COPY format. Checks the lease in the same
    snapshot."""

    async def take_piece(piece: bytes) -> None:
        sink(bytes(piece))

    async with writer.transaction(lease.slots, READ_SNAPSHOT) as connection:
        await require(connection, READ_LEASE, lease)
        await connection.copy_from_query(
            query, *arguments, output=take_piece, format="binary", timeout=LOAD_SECONDS
        )
