"""Reads executions, their log, and the answers to requests."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from goald.adapters.postgres.records.executions import statements
from goald.adapters.postgres.records.forwards import continuing
from goald.adapters.postgres.records.reader import bounds_of, page_of
from goald.adapters.postgres.records.statements import IN_ORDER
from goald.adapters.postgres.tenants import TenantPool
from goald.domain.records.execution import (
    PHASES,
    Execution,
    ExecutionLog,
    ExecutionStatus,
    RequestAnswer,
    phase_of,
)
from goald.domain.records.pages import Page, PageRequest

SCANNED = 2_000
"""The number of live executions that a page with a status scans at most (D8)."""
STATUSES: Sequence[ExecutionStatus] = get_args(ExecutionStatus)


class PostgresExecutionRecords:
    """`api.ports.ExecutionRecords`. Each call executes in a separate transaction."""

    def __init__(self, pool: TenantPool, *, scanned: int = SCANNED) -> None:
        """`scanned`: see SCANNED."""
        self._pool = pool
        self._scanned = scanned

    async def execution(self, tenant: str, execution_id: str) -> Execution | None:
        async with self._pool.tenant(tenant, readonly=True) as connection:
            row = await connection.fetchrow(statements.BY_ID, tenant, execution_id)
        return None if row is None else Execution(**row)

    async def of_workflow(
        self, tenant: str, workflow_id: str, filters: Mapping[str, Any], span: PageRequest
    ) -> Page[Execution]:
        """A page with one of the live statuses may have fewer rows than requested, even none,
        although more pages follow."""
        status, contact = filters.get("status"), filters.get("contact_id")
        given, end = bounds_of(tenant, workflow_id, span), None
        async with self._pool.tenant(tenant, readonly=True) as connection:
            if contact is not None:
                contact = await continuing(connection, tenant, contact)
                of = STATUSES if status is None else [status]
                found = await connection.fetch(statements.OF_CONTACT, *given, contact, of)
            else:
                await connection.execute(IN_ORDER)
                if status is None or phase_of(status) != "live":
                    phases = PHASES if status is None else [phase_of(status)]
                    found = await connection.fetch(statements.OF_WORKFLOW, *given, phases)
                else:
                    found = await connection.fetch(statements.LIVE, *given, status, self._scanned)
                    if len(found) <= span.limit:
                        end = await connection.fetchrow(
                            statements.LIVE_SCANNED_TO, *given[:-1], self._scanned - 1
                        )
        rows = [Execution(**row) for row in found]
        if end is not None:
            return Page(rows, tuple(end))
        return page_of(rows, span, lambda row: (row.created_at, row.id))

    async def logs(
        self, tenant: str, execution_id: str, skip: int, limit: int
    ) -> tuple[Sequence[ExecutionLog], int]:
        async with self._pool.tenant(tenant, readonly=True) as connection:
            rows = await connection.fetch(statements.LOGS, tenant, execution_id, skip, limit)
            total = await connection.fetchval(statements.COUNT_LOGS, tenant, execution_id)
        return [ExecutionLog(**row) for row in rows], total

    async def answer(self, tenant: str, request: str) -> RequestAnswer | None:
        async with self._pool.tenant(tenant, readonly=True) as connection:
            row = await connection.fetchrow(statements.ANSWER, tenant, request)
        return None if row is None else RequestAnswer(**row)
