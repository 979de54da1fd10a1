"""The configuration of tenants, in Postgres: read as far as it is needed, changed in one
transaction."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from weakref import WeakValueDictionary

from goald.adapters.postgres.configuration import statements
from goald.adapters.postgres.configuration.changes import write
from goald.adapters.postgres.configuration.definitions import read_version, read_versions
from goald.adapters.postgres.configuration.reads import read, workflow_row
from goald.adapters.postgres.tenants import TenantPool
from goald.domain.configuration.workflows import (
    ChangeSet,
    CommittedChanges,
    ConfigurationScope,
    CurrentConfiguration,
    DefinitionRow,
    DefinitionVersion,
    EntityRow,
    RolloutStatus,
    WorkflowRow,
)
from goald.domain.errors import ServiceUnavailable, TooManyWorkflows

TURN_SECONDS = 5.0
"""Seconds that a change waits for earlier changes of its tenant in this process."""

DELETED_FACTOR = 10
"""How many times the limit of workflows a tenant may have with those that are deleted: their rows
stay for GOALD_RETENTION days."""


class PostgresConfigurationStore:
    """`configuration.ports.ConfigurationStore` over a pool."""

    def __init__(self, pool: TenantPool, *, max_workflows: int | None = None) -> None:
        """`max_workflows`: how many workflows a tenant may have; None is unlimited."""
        self._pool = pool
        self._max_workflows = max_workflows
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def load(self, tenant: str, scope: ConfigurationScope) -> CurrentConfiguration:
        async with self._pool.tenant(tenant, readonly=True) as connection:
            return await read(connection, tenant, scope)

    async def workflows(
        self, tenant: str, offset: int, limit: int
    ) -> tuple[Sequence[WorkflowRow], int]:
        async with self._pool.tenant(tenant, readonly=True) as connection:
            rows = await connection.fetch(statements.PAGE_OF_WORKFLOWS, tenant, offset, limit)
            total = await connection.fetchval(statements.COUNT_WORKFLOWS, tenant)
        return [workflow_row(row) for row in rows], total

    async def entities(self, tenant: str, kind: str, after: str, limit: int) -> Sequence[EntityRow]:
        async with self._pool.tenant(tenant, readonly=True) as connection:
            rows = await connection.fetch(statements.PAGE_OF_ENTITIES, tenant, kind, after, limit)
        return [EntityRow(**row) for row in rows]

    async def definition(self, tenant: str, workflow_id: str, version: int) -> DefinitionRow | None:
        async with self._pool.tenant(tenant, readonly=True) as connection:
            return await read_version(connection, tenant, workflow_id, version)

    async def definitions(
        self, tenant: str, workflow_id: str, offset: int, limit: int
    ) -> tuple[Sequence[DefinitionVersion], int]:
        async with self._pool.tenant(tenant, readonly=True) as connection:
            return await read_versions(connection, tenant, workflow_id, offset, limit)

    async def change(
        self,
        tenant: str,
        actor: str,
        scope: ConfigurationScope,
        decide: Callable[[CurrentConfiguration], ChangeSet],
    ) -> CommittedChanges:
        async with self._turn(tenant), self._pool.tenant(tenant, actor) as connection:
            await connection.execute(statements.LOCK_TENANT, tenant)
            change_set = decide(await read(connection, tenant, scope))
            await self._check_number(connection, tenant, change_set)
            return await write(connection, tenant, change_set)

    async def mark_published(self, tenant: str, numbers: Sequence[int]) -> None:
        async with self._pool.tenant(tenant) as connection:
            await connection.execute(statements.MARK_PUBLISHED, numbers)

    async def rollout(self, version: int) -> RolloutStatus:
        async with self._pool.connection() as connection:
            row = await connection.fetchrow(statements.ROLLOUT, version)
        return RolloutStatus(row["ready"], row["live"])

    async def close(self) -> None:
        """Close the pool."""
        await self._pool.close()

    async def _check_number(self, connection: Any, tenant: str, change_set: ChangeSet) -> None:
        """Raise TooManyWorkflows if the change creates workflows beyond the limit, or rows beyond
        the limit with deleted ones. Exact, because the changes of a tenant are serialised. A
        tenant that is beyond a lowered limit may still change its workflows."""
        created = [
            change.row.id
            for change in change_set.changes
            if isinstance(change.row, WorkflowRow) and change.before is None
        ]
        if self._max_workflows is None or not created:
            return
        found = await connection.fetchrow(statements.COUNT_WORKFLOW_ROWS, tenant, created)
        if found["existing"] + len(created) > self._max_workflows:
            raise TooManyWorkflows(
                f"A tenant may have at most {self._max_workflows:,} workflows "
                f"(GOALD_MAX_WORKFLOWS). There are {found['existing']:,}, and this change would "
                f"add {len(created):,}. Delete workflows that are no longer used"
            )
        if found["other_rows"] + len(created) > self._max_workflows * DELETED_FACTOR:
            raise TooManyWorkflows(
                "The tenant has created and deleted too many workflows with different ids. Use an "
                "id of a deleted workflow again, or wait until deleted workflows are removed, "
                "which takes GOALD_RETENTION days"
            )

    @asynccontextmanager
    async def _turn(self, tenant: str) -> AsyncIterator[None]:
        """Serialises the changes of a tenant before they take a connection, so that waiting changes
        do not use connections of other tenants (D8)."""
        lock = self._turns.setdefault(tenant, asyncio.Lock())
        is_ours = False
        try:
            try:
                async with asyncio.timeout(TURN_SECONDS):
                    await lock.acquire()
                    is_ours = True
            except TimeoutError:
                raise ServiceUnavailable("too many changes of this tenant wait") from None
            yield
        finally:
            if is_ours:
                lock.release()
