"""Backends of the store and lease suites, with direct access to their state."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Protocol

import asyncpg
from tests.contract.executions.rows import (
    ExecutionRows,
    publish_in_memory,
    publish_in_postgres,
    rows_in_memory,
    rows_in_postgres,
)
from tests.support.services.servers import Database

from goald.adapters.memory.clock import ManualClock
from goald.adapters.memory.contact_rows import MemoryContactLookup
from goald.adapters.memory.database import MemoryDatabase
from goald.adapters.memory.store import MemoryShardStore
from goald.adapters.memory.stream_leases import MemoryStreamLeases
from goald.adapters.postgres import PostgresShardStore, PostgresStreamLeases
from goald.adapters.postgres.erasure_pages import PostgresErasurePages
from goald.adapters.postgres.pending_transfers import PostgresPendingTransfers
from goald.adapters.postgres.records.projection import PostgresContactStore
from goald.adapters.postgres.shard.commit import PLAIN, CommitOptions
from goald.adapters.postgres.tenants import TenantPool
from goald.domain.contacts.stored import ContactColumns
from goald.domain.records.erasure import ErasurePage
from goald.ports.configuration import WorkflowConfiguration
from goald.ports.shard_store import ShardStore
from goald.ports.sources.contacts import ContactLookup
from goald.ports.stream_leases import StreamLeases


class Tables(Protocol):
    """One set of tables, shared by any number of stores."""

    def store(self, options: CommitOptions = PLAIN) -> ShardStore: ...

    def stream_leases(self) -> StreamLeases: ...

    async def enrollments(self) -> dict[str, tuple[str, str, int, tuple[int | None, int]]]:
        """By id: contact, status, number of goals met, (cancelled actions, 1 if acknowledged)."""

    async def met(self) -> dict[str, tuple[int | None, int]]:
        """By id: the time of the last achievement, and the types of the goals met."""

    async def undone(self) -> dict[str, tuple[int | None, int | None]]:
        """By id: when the payment was refunded, and when the appointment was cancelled."""

    async def achievements(self) -> list[tuple[str, str]]:
        """(enrollment, trigger_event without spaces), sorted."""

    async def contacts(self) -> dict[str, ContactColumns]:
        """The projection, by contact."""

    def contact_lookup(self) -> ContactLookup: ...

    async def payloads(self) -> list[str]:
        """The payloads of the outbox, in order."""

    async def refuse(self, contact: str) -> None:
        """Make later commits with enrollments of this contact fail for their content."""

    async def pending_transfers(self) -> tuple[int, int, int]:
        """The merges that wait, those that were refused, and the forwards to deleted contacts."""

    async def accept(self, contact: str) -> None:
        """End `refuse`, and the wait for the next attempt of refused transfers."""

    async def erase_rows(self) -> None:
        """Erase the rows of deleted contacts, as the daemon's job does."""

    async def forget_pseudonyms(self) -> None:
        """Finish every erasure."""

    async def match_values(self) -> dict[str, str | None]:
        """The values that each enrollment carries."""

    async def save_workflow(
        self, version: int, tenant: str, workflow: str, *, exits_missed: bool = False
    ) -> None:
        """Configure an active workflow without goals, at this configuration version."""

    async def missed_events(self) -> int:
        """The number of missed events that are stored."""

    async def delete_workflow(self, version: int, tenant: str, workflow: str) -> None:
        """Delete a workflow, at this configuration version."""

    async def distinguish_tags(self, tenant: str, by_case: bool) -> None:
        """Change the setting of a tenant, for later commits."""

    async def executions(self) -> ExecutionRows: ...

    async def publish(self, workflow: str, version: int, plan: bytes) -> None:
        """Publish a version of the definition of a workflow of `acme`."""

    async def close(self) -> None: ...


class MemoryTables:
    def __init__(self) -> None:
        self._database = MemoryDatabase()
        self._clock = ManualClock()

    def store(self, options: CommitOptions = PLAIN) -> ShardStore:
        _, publishes_refunds, missed_bytes = options
        return MemoryShardStore(
            self._database,
            self._clock,
            publishes_refunds=publishes_refunds,
            missed_bytes=missed_bytes,
        )

    def stream_leases(self) -> StreamLeases:
        return MemoryStreamLeases(self._database)

    async def enrollments(self) -> dict[str, Any]:
        return {
            row.id: (
                row.contact_id,
                row.status,
                len(row.met_goals),
                (row.cancelled_actions, int(row.exit_acknowledged_at is not None)),
            )
            for row in self._database.enrollments.values()
        }

    async def met(self) -> dict[str, tuple[int | None, int]]:
        return {
            row.id: (row.last_achieved_at, row.met_types)
            for row in self._database.enrollments.values()
        }

    async def match_values(self) -> dict[str, str | None]:
        return {row.id: row.match_values for row in self._database.enrollments.values()}

    async def undone(self) -> dict[str, tuple[int | None, int | None]]:
        return {
            row.id: (row.refunded_at, row.appointment_cancelled_at)
            for row in self._database.enrollments.values()
        }

    async def achievements(self) -> list[tuple[str, str]]:
        return sorted(
            (row.enrollment.id, row.trigger_event.replace(" ", ""))
            for row in self._database.achievements
        )

    def contact_lookup(self) -> ContactLookup:
        return MemoryContactLookup(self._database)

    async def contacts(self) -> dict[str, ContactColumns]:
        return {contact: row for (_, contact), row in self._database.contacts.items()}

    async def payloads(self) -> list[str]:
        return [entry.payload for entry in self._database.outbox.values()]

    async def refuse(self, contact: str) -> None:
        self._database.refused_contacts.add(contact)

    async def pending_transfers(self) -> tuple[int, int, int]:
        refused = [each.refused_at is not None for each in self._database.transfers.values()]
        return refused.count(False), refused.count(True), 0

    async def accept(self, contact: str) -> None:
        self._database.refused_contacts.remove(contact)
        for transfer in self._database.transfers.values():
            transfer.retry_at = None

    async def erase_rows(self) -> None:
        """They are erased immediately."""

    async def forget_pseudonyms(self) -> None:
        deleted = self._database.deleted
        deleted |= {key: replace(each, pseudonym=None) for key, each in deleted.items()}

    async def missed_events(self) -> int:
        rows = self._database.missed
        return len({(tenant, row.event) for (tenant, _), row in rows.items()})

    async def save_workflow(
        self, version: int, tenant: str, workflow: str, *, exits_missed: bool = False
    ) -> None:
        self._forget(tenant, workflow)
        saved = WorkflowConfiguration(
            tenant_id=tenant, workflow_id=workflow, goal_logic="any", is_active=True,
            exits_missed=exits_missed, goals=[],
        )  # fmt: skip
        self._database.workflows.append((version, saved))

    async def delete_workflow(self, version: int, tenant: str, workflow: str) -> None:
        self._forget(tenant, workflow)
        self._database.deleted_workflows.append((version, (tenant, workflow)))

    async def distinguish_tags(self, tenant: str, by_case: bool) -> None:
        tenants = self._database.case_sensitive_tenants
        (tenants.add if by_case else tenants.discard)(tenant)

    def _forget(self, tenant: str, workflow: str) -> None:
        tables = self._database
        tables.workflows = [
            (version, row)
            for version, row in tables.workflows
            if (row["tenant_id"], row["workflow_id"]) != (tenant, workflow)
        ]
        tables.deleted_workflows = [
            (version, pair)
            for version, pair in tables.deleted_workflows
            if pair != (tenant, workflow)
        ]

    async def executions(self) -> ExecutionRows:
        return rows_in_memory(self._database)

    async def publish(self, workflow: str, version: int, plan: bytes) -> None:
        publish_in_memory(self._database, workflow, version, plan)

    async def close(self) -> None:
        """Nothing is open."""


class PostgresTables:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._open: list[PostgresShardStore | PostgresStreamLeases | TenantPool] = []

    def store(self, options: CommitOptions = PLAIN) -> ShardStore:
        store = PostgresShardStore(self._database.dsn, options=options)
        self._open.append(store)
        return store

    def stream_leases(self) -> StreamLeases:
        leases = PostgresStreamLeases(self._database.dsn)
        self._open.append(leases)
        return leases

    async def enrollments(self) -> dict[str, Any]:
        rows = await self._read(
            "SELECT id, contact_id, status, cardinality(met_goals), cancelled_actions,"
            " (exit_acknowledged_at IS NOT NULL)::int FROM goald.workflow_enrollments"
        )
        return {
            id_: (contact, status, met, tuple(rest)) for id_, contact, status, met, *rest in rows
        }

    async def met(self) -> dict[str, tuple[int | None, int]]:
        rows = await self._read(
            "SELECT id, goald.us(last_achieved_at), met_types FROM goald.workflow_enrollments"
        )
        return {id_: (at, types) for id_, at, types in rows}

    async def match_values(self) -> dict[str, str | None]:
        rows = await self._read("SELECT id, match_values::text FROM goald.workflow_enrollments")
        return dict(rows)

    async def undone(self) -> dict[str, tuple[int | None, int | None]]:
        rows = await self._read(
            "SELECT id, goald.us(refunded_at), goald.us(appointment_cancelled_at)"
            " FROM goald.workflow_enrollments"
        )
        return {id_: (refunded, cancelled) for id_, refunded, cancelled in rows}

    async def achievements(self) -> list[tuple[str, str]]:
        rows = await self._read(
            "SELECT workflow_enrollment_id, replace(trigger_event::text, ' ', '')"
            " FROM goald.workflow_goal_achievements ORDER BY 1, 2"
        )
        return [tuple(row) for row in rows]

    def contact_lookup(self) -> ContactLookup:
        pool = TenantPool(self._database.dsn, 2)
        self._open.append(pool)
        return PostgresContactStore(pool)

    async def contacts(self) -> dict[str, ContactColumns]:
        rows = await self._read(
            "SELECT contact_id, email, email_key, phone, timezone, opted_in, attributes::text,"
            " tags::text, stages::text, stamps::text FROM goald.contacts"
        )
        return {contact: ContactColumns(*row) for contact, *row in rows}

    async def payloads(self) -> list[str]:
        return [
            row[0] for row in await self._read("SELECT payload FROM goald.outbox ORDER BY number")
        ]

    async def refuse(self, contact: str) -> None:
        # Represents a constraint that goald does not check before a commit.
        await self._read(
            "ALTER TABLE goald.workflow_enrollments"
            f" ADD CONSTRAINT no_{contact} CHECK (contact_id <> '{contact}')"
        )

    async def pending_transfers(self) -> tuple[int, int, int]:
        source = PostgresPendingTransfers(self._database.dsn)
        try:
            pending = await source.pending()
        finally:
            await source.close()
        assert (pending.waiting_oldest_s > 0, pending.refused_oldest_s > 0) == (
            pending.waiting > 0,
            pending.refused > 0,
        )
        return pending.waiting, pending.refused, pending.forwards_to_deleted

    async def accept(self, contact: str) -> None:
        await self._read(f"ALTER TABLE goald.workflow_enrollments DROP CONSTRAINT no_{contact}")
        await self._read("UPDATE goald.transfers SET retry_at = now()")

    async def erase_rows(self) -> None:
        pages = PostgresErasurePages(self._database.dsn)
        try:
            while await pages.rewrite() != ErasurePage():
                pass
        finally:
            await pages.close()

    async def forget_pseudonyms(self) -> None:
        await self._read("UPDATE goald.erasures SET pseudonym = NULL, finished_at = now()")

    async def missed_events(self) -> int:
        ((count,),) = await self._read("SELECT count(*) FROM goald.missed_events")
        return int(count)

    async def save_workflow(
        self, version: int, tenant: str, workflow: str, *, exits_missed: bool = False
    ) -> None:
        await self._read(
            "INSERT INTO goald.workflows AS w"
            " (tenant_id, id, name, is_active, config_version, exits_missed)"
            f" VALUES ('{tenant}', '{workflow}', 'W', true, {version}, {exits_missed})"
            " ON CONFLICT (tenant_id, id) DO UPDATE SET is_active = true,"
            " exits_missed = excluded.exits_missed,"
            " config_version = excluded.config_version, version = w.version + 1"
        )

    async def delete_workflow(self, version: int, tenant: str, workflow: str) -> None:
        await self._read(
            "UPDATE goald.workflows SET is_active = false, deleted_at = now(),"
            f" version = version + 1, config_version = {version}"
            f" WHERE tenant_id = '{tenant}' AND id = '{workflow}'"
        )

    async def distinguish_tags(self, tenant: str, by_case: bool) -> None:
        await self._read(
            "INSERT INTO goald.tenant_settings (tenant_id, tag_case_sensitive)"
            f" VALUES ('{tenant}', {by_case}) ON CONFLICT (tenant_id)"
            " DO UPDATE SET tag_case_sensitive = excluded.tag_case_sensitive"
        )

    async def executions(self) -> ExecutionRows:
        async with self._connection() as connection:
            return await rows_in_postgres(connection)

    async def publish(self, workflow: str, version: int, plan: bytes) -> None:
        async with self._connection() as connection:
            await publish_in_postgres(connection, workflow, version, plan)

    async def close(self) -> None:
        for item in self._open:
            await item.close()

    async def _read(self, query: str) -> Any:
        async with self._connection() as connection:
            return await connection.fetch(query)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        connection = await asyncpg.connect(self._database.admin_dsn)
        try:
            yield connection
        finally:
            await connection.close()
