"""The durable state of a range of slots, in Postgres.

Uses four connections: one for commits and loads, whose backend a takeover ends; one for the
configuration and the outbox; one for renewals, so that a slow statement never costs the lease; and
one for the pages of ended enrollments, so that no exit waits for them.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from goald.adapters.postgres.connection import SETTINGS, WRITER_SETTINGS, Connection, end_backends
from goald.adapters.postgres.errors import content_error
from goald.adapters.postgres.identity import PostgresIdentity
from goald.adapters.postgres.session_statements import READ_SNAPSHOT
from goald.adapters.postgres.shard import commit, ended, missed, statements, used_events
from goald.adapters.postgres.shard.commit import PLAIN, CommitOptions
from goald.adapters.postgres.shard.contacts import read_contacts
from goald.adapters.postgres.shard.erasure import Tombstones
from goald.adapters.postgres.shard.executions.store import PostgresExecutionStore, copy_rows
from goald.adapters.postgres.shard.leases import SHARD_ROLE, renew, require, require_free
from goald.adapters.postgres.shard.merging import forwards, transfers
from goald.adapters.postgres.shard.outbox import PostgresOutbox
from goald.domain.contacts.forwards import Forward
from goald.domain.contacts.merging import ContactKey, StoredContact
from goald.domain.errors import CommitUnknown, SchemaMismatch, ServiceUnavailable
from goald.domain.fail_points import FailPoint, FailPointHook, no_op
from goald.domain.ids import ContactId, TenantId
from goald.domain.leases import LEASE_SECONDS, SlotLease, TakeoverPolicy, always_take_over
from goald.domain.slots import SLOTS, SlotRange
from goald.ports.change import Change, Committed
from goald.ports.configuration import (
    Configuration,
    ExecutionSettings,
    WorkflowConfiguration,
    WorkflowKey,
)
from goald.ports.executions.store import ExecutionStore
from goald.ports.outbox import Outbox
from goald.ports.shard_store import (
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

WRITER_NAME = "goald-commit"
"""The application name by which a takeover recognises the backend to end."""
ALL_SLOTS = SlotRange(0, SLOTS - 1)


class PostgresShardStore:
    """`ports.ShardStore`. Connects on first use, and reconnects after an error."""

    def __init__(
        self,
        dsn: str,
        *,
        lease_seconds: float = LEASE_SECONDS,
        options: CommitOptions = PLAIN,
        fail_point: FailPointHook = no_op,
    ) -> None:
        self._seconds = lease_seconds
        self._options = options
        self._fail_point = fail_point
        server = PostgresIdentity()
        self._writer = Connection(
            dsn, role=SHARD_ROLE, name=WRITER_NAME, settings=WRITER_SETTINGS, server=server
        )
        self._side = Connection(
            dsn, role=SHARD_ROLE, name="goald-shard", settings=SETTINGS, server=server
        )
        self._renewer = Connection(
            dsn, role=SHARD_ROLE, name="goald-lease", settings=SETTINGS, server=server
        )
        self._ends = Connection(
            dsn, role=SHARD_ROLE, name="goald-ends", settings=SETTINGS, server=server
        )
        self._outbox = PostgresOutbox(self._side, server)
        self._executions = PostgresExecutionStore(self._writer)
        self._tombstones = Tombstones()
        self._partitions_created_on: Any = None

    @property
    def outbox(self) -> Outbox:
        return self._outbox

    @property
    def executions(self) -> ExecutionStore:
        return self._executions

    async def acquire(
        self, slots: SlotRange, holder: str, takeover_policy: TakeoverPolicy = always_take_over
    ) -> SlotLease:
        async with self._writer.use() as connection:
            bounds = slots.first, slots.last
            rows = await connection.fetch(statements.OVERLAPPING, *bounds)
            require_free(rows, takeover_policy)
            await connection.execute(statements.MAKE_MONTHS)
            backends = [row["backend_pid"] for row in rows if row["backend_pid"] is not None]
            if backends:
                await end_backends(connection, backends, WRITER_NAME)
            async with connection.transaction():
                await connection.execute(statements.LOCK_LEASES)
                require_free(
                    await connection.fetch(statements.OVERLAPPING, *bounds), takeover_policy
                )
                await connection.execute(statements.REMOVE_OVERLAPPING, slots.first, slots.last)
                epoch = await connection.fetchval(
                    statements.TAKE_SLOTS, slots.first, slots.last, holder,
                    self._writer.backend_pid, self._seconds,
                )  # fmt: skip
            self._tombstones.forget()
        return SlotLease(slots, epoch, holder)

    async def renew(self, lease: SlotLease, config_version: int) -> None:
        """Also creates the partitions of the coming months, once a day."""
        async with self._renewer.use() as connection:
            today = await renew(
                connection, lease, self._seconds, config_version, self._writer.backend_pid
            )
            if today != self._partitions_created_on:
                await connection.execute(statements.MAKE_MONTHS)
                self._partitions_created_on = today

    async def release(self, lease: SlotLease) -> None:
        async with self._renewer.use() as connection:
            await connection.execute(statements.RELEASE, lease.epoch, lease.holder)

    async def check(self, lease: SlotLease) -> None:
        async with self._writer.use() as connection:
            await require(connection, statements.READ_LEASE, lease)

    async def configuration(self, after: int) -> Configuration:
        newest = after
        # One snapshot, so that nothing up to the version is missed.
        async with self._side.transaction(ALL_SLOTS, READ_SNAPSHOT) as connection:
            if after == 0:
                newest = await connection.fetchval(statements.NEWEST_VERSION)
                rows = await connection.fetch(statements.EXISTING_WORKFLOWS)
            else:
                rows = await connection.fetch(statements.CHANGED_WORKFLOWS, after)
            keeps = await connection.fetch(statements.CONTACT_TENANTS, after)
        return Configuration(
            version=max([newest, *(row["config_version"] for row in (*rows, *keeps))]),
            workflows=[workflow_of(row) for row in rows if not row["is_deleted"]],
            deleted=[(row["tenant_id"], row["workflow_id"]) for row in rows if row["is_deleted"]],
            keeps_contacts=tuple(row["tenant_id"] for row in keeps),
        )

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

    async def repeats(
        self, lease: SlotLease, starts: Sequence[EnrollmentStart]
    ) -> set[tuple[TenantId, str]]:
        async with self._writer.transaction(lease.slots) as connection:
            await require(connection, statements.READ_LEASE, lease)
            return await commit.repeats(connection, starts, lease.slots, self._tombstones)

    async def excluded(self, lease: SlotLease, checks: Sequence[EventCheck]) -> set[Excluded]:
        async with self._writer.transaction(lease.slots) as connection:
            await require(connection, statements.READ_LEASE, lease)
            return await used_events.excluded(connection, checks)

    async def ended(self, lease: SlotLease, checks: Sequence[EndedCheck]) -> WatchedRuns:
        async with self._writer.transaction(lease.slots) as connection:
            await require(connection, statements.READ_LEASE, lease)
            return await ended.read(connection, checks)

    async def ends(
        self,
        lease: SlotLease,
        tenant: TenantId,
        before: Mapping[int, EndPosition],
        first: int,
        limit: int,
    ) -> Sequence[RunEnd]:
        async with self._ends.transaction(lease.slots) as connection:
            await require(connection, statements.READ_LEASE, lease)
            return await ended.ends(connection, tenant, before, first, limit)

    async def contacts(
        self, lease: SlotLease, contacts: Sequence[ContactKey]
    ) -> Mapping[ContactKey, StoredContact]:
        async with self._writer.transaction(lease.slots) as connection:
            await require(connection, statements.READ_LEASE, lease)
            return await read_contacts(connection, contacts, lease.slots, self._tombstones)

    async def missed_workflows(
        self, lease: SlotLease, workflows: Sequence[WorkflowKey]
    ) -> Sequence[WorkflowKey]:
        async with self._writer.transaction(lease.slots) as connection:
            await require(connection, statements.READ_LEASE, lease)
            return await missed.of_workflows(connection, workflows)

    async def missed(
        self,
        lease: SlotLease,
        workflow: WorkflowKey,
        after: MissedPosition,
        limit: int,
        most_bytes: int,
    ) -> MissedPage:
        async with self._writer.transaction(lease.slots) as connection:
            await require(connection, statements.READ_LEASE, lease)
            return await missed.read(connection, workflow, after, limit, most_bytes)

    async def forget_missed(
        self, lease: SlotLease, workflow: WorkflowKey, after: MissedPosition, limit: int
    ) -> MissedPosition | None:
        async with self._writer.transaction(lease.slots) as connection:
            await require(connection, statements.HOLD_LEASE, lease)
            return await missed.forget(connection, workflow, after, limit)

    async def forward_secret(self) -> str:
        async with self._writer.use() as connection:
            return await forwards.secret(connection)

    async def forwards(self, lease: SlotLease, after: int) -> tuple[Sequence[Forward], int]:
        async with self._writer.transaction(lease.slots) as connection:
            await require(connection, statements.HOLD_LEASE, lease)
            return await forwards.changed(connection, lease.slots, after, self._tombstones)

    async def ended_forwards(
        self, lease: SlotLease, contacts: Collection[PassedOn]
    ) -> set[PassedOn]:
        async with self._writer.transaction(lease.slots) as connection:
            await require(connection, statements.READ_LEASE, lease)
            return await forwards.ended(connection, contacts)

    async def transfers(self, lease: SlotLease) -> Sequence[Transfer]:
        async with self._writer.transaction(lease.slots) as connection:
            await require(connection, statements.READ_LEASE, lease)
            rows = await connection.fetch(transfers.DUE, lease.slots.first, lease.slots.last)
        return [Transfer(*row) for row in rows]

    async def adopt(self, lease: SlotLease, transfer: Transfer, rename: RenameContact) -> bool:
        async with self._moving(lease) as connection:
            has_more = await transfers.adopt(
                connection, transfer.id, lease.slots, self._tombstones, rename
            )
            self._fail_point(FailPoint.TRANSFER_WRITTEN)
        return has_more

    async def move_ended(self, lease: SlotLease, transfer: Transfer, rename: RenameContact) -> bool:
        async with self._moving(lease) as connection:
            return await transfers.move_ended(connection, transfer.id, lease.slots, rename)

    async def refuse(self, lease: SlotLease, transfer: Transfer, reason: str) -> None:
        async with self._writer.transaction(lease.slots) as connection:
            await require(connection, statements.HOLD_LEASE, lease)
            await connection.execute(transfers.REFUSE, transfer.id, reason)

    @asynccontextmanager
    async def _moving(self, lease: SlotLease) -> AsyncIterator[Any]:
        """A transaction that moves rows to these slots, under the lease. Raises ContentRefused."""
        try:
            async with self._writer.transaction(ALL_SLOTS) as connection:
                await require(connection, statements.HOLD_LEASE, lease)
                yield connection
        except ServiceUnavailable as error:
            raise content_error(error.__cause__) or error from error.__cause__

    async def commit(self, lease: SlotLease, change: Change) -> Committed:
        """If it is cancelled, the outcome is unknown; the next call reads it."""
        try:
            async with self._writer.transaction(lease.slots) as connection:
                await require(connection, statements.HOLD_LEASE, lease)
                self._fail_point(FailPoint.LEASE_LOCKED)
                try:
                    return await commit.write(
                        connection,
                        change,
                        lease.slots,
                        self._tombstones,
                        self._fail_point,
                        self._options,
                    )
                except asyncpg.PostgresError as error:
                    if (refused := content_error(error)) is not None:
                        raise refused from error
                    raise
        except ServiceUnavailable as error:
            # Deferred constraints are checked at the end of the transaction.
            raise content_error(error.__cause__) or CommitUnknown(str(error)) from error
        except SchemaMismatch as error:
            raise CommitUnknown(str(error)) from error

    async def close(self) -> None:
        connections = self._writer, self._side, self._renewer, self._ends
        await asyncio.gather(*(connection.close() for connection in connections))


def _execution_settings(row: Any) -> ExecutionSettings:
    if row["error_notification"] is None:  # the tenant has changed no setting
        return ExecutionSettings()
    return ExecutionSettings(
        row["error_notification"], row["max_retry_attempts"], row["retry_base_delay_seconds"],
        row["concurrent_executions_per_account"],
    )  # fmt: skip


def workflow_of(row: Any) -> WorkflowConfiguration:
    """The workflow in a row of CHANGED_WORKFLOWS or WORKFLOWS_OF_TENANT."""
    return WorkflowConfiguration(
        tenant_id=row["tenant_id"],
        workflow_id=row["workflow_id"],
        name=row["name"],
        goal_logic=row["goal_logic"],
        is_active=row["is_active"],
        tag_case_sensitive=row["tag_case_sensitive"],
        exits_missed=row["exits_missed"],
        executions=_execution_settings(row),
        overdue=row["overdue"],
        activated_at_ms=row["activated_at_ms"],
        goals=json.loads(row["goals"]),
    )
