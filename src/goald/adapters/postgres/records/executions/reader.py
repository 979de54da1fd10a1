"""Reads executions, their log, and the answers to requests."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

import asyncpg

from goald.adapters.postgres.records.executions import statements
from goald.adapters.postgres.records.forwards import continuing
from goald.adapters.postgres.records.reader import bounds_of, page_of
from goald.adapters.postgres.records.statements import IN_ORDER
from goald.adapters.postgres.tenants import TenantPool
from goald.domain.records.execution import (
    IN_FLIGHT,
    PHASES,
    Execution,
    ExecutionLog,
    ExecutionStatus,
    NumberedPage,
    RequestAnswer,
    RunnableWorkflow,
    phase_of,
)
from goald.domain.records.pages import Page, PageRequest

SCANNED = 2_000
"""The number of live executions that a page with a status scans at most (D8)."""
COUNTED = 10_000
"""The number of executions that are counted exactly."""
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

    async def numbered(
        self,
        tenant: str,
        workflow_id: str,
        filters: Mapping[str, Any],
        span: PageRequest,
        skip: int,
    ) -> NumberedPage:
        """Counts up to COUNTED executions. Of a live status, the first COUNTED live executions are
        scanned."""
        status, contact = filters.get("status"), filters.get("contact_id")
        bounds = bounds_of(tenant, workflow_id, replace(span, after=None))
        async with self._pool.tenant(tenant, readonly=True) as connection:
            if contact is not None:
                contact = await continuing(connection, tenant, contact)
                of = STATUSES if status is None else [status]
                found = await connection.fetch(
                    statements.ALL_OF_CONTACT, *bounds[:4], contact, of, COUNTED
                )
                rows = [Execution(**row) for row in found[skip : skip + span.limit]]
                return NumberedPage(rows, len(found), is_estimate=len(found) == COUNTED)
            await connection.execute(IN_ORDER)
            if status is None or phase_of(status) != "live":
                return await _numbered(connection, bounds, span, skip, status)
            return await _numbered_live(connection, bounds, span, skip, status)

    async def logs(
        self, tenant: str, execution_id: str, skip: int, limit: int
    ) -> tuple[Sequence[ExecutionLog], int]:
        async with self._pool.tenant(tenant, readonly=True) as connection:
            rows = await connection.fetch(statements.LOGS, tenant, execution_id, skip, limit)
            total = await connection.fetchval(statements.COUNT_LOGS, tenant, execution_id)
        return [ExecutionLog(**row) for row in rows], total

    async def ended_in_flight(self, tenant: str, execution_id: str) -> bool:
        async with self._pool.tenant(tenant, readonly=True) as connection:
            message = await connection.fetchval(statements.ENDED_WITH, tenant, execution_id)
        return message is not None and message.endswith(IN_FLIGHT)

    async def answers(self, tenant: str, requests: Sequence[str]) -> dict[str, RequestAnswer]:
        async with self._pool.tenant(tenant, readonly=True) as connection:
            rows = await connection.fetch(statements.ANSWERS, tenant, requests)
        return {row["request"]: RequestAnswer(row["answer"], row["execution_id"]) for row in rows}

    async def workflow(self, tenant: str, workflow_id: str) -> RunnableWorkflow | None:
        async with self._pool.tenant(tenant, readonly=True) as connection:
            row = await connection.fetchrow(statements.WORKFLOW, tenant, workflow_id)
        return None if row is None else RunnableWorkflow(**row)


async def _numbered(
    connection: asyncpg.Connection,
    bounds: list[Any],
    span: PageRequest,
    skip: int,
    status: ExecutionStatus | None,
) -> NumberedPage:
    phases = PHASES if status is None else [phase_of(status)]
    total = await connection.fetchval(statements.COUNT, *bounds[:6], COUNTED + 1, phases)
    is_estimate = total > COUNTED
    if is_estimate:
        plan = await connection.fetchval(statements.ESTIMATE, *bounds[:4], phases)
        total = max(total, int(json.loads(plan)[0]["Plan"]["Plan Rows"]))
    if skip:
        place = await connection.fetchrow(statements.POSITION, *bounds[:6], skip, phases)
        if place is None:
            return NumberedPage([], total, is_estimate)
        bounds = [*bounds[:4], *place, span.limit]
    found = await connection.fetch(statements.OF_WORKFLOW, *bounds[:6], span.limit, phases)
    return NumberedPage([Execution(**row) for row in found], total, is_estimate)


async def _numbered_live(
    connection: asyncpg.Connection,
    bounds: list[Any],
    span: PageRequest,
    skip: int,
    status: ExecutionStatus,
) -> NumberedPage:
    scanned = [*bounds[:6], COUNTED, status]
    total = await connection.fetchval(statements.LIVE_COUNT, *scanned)
    live = await connection.fetchval(statements.COUNT, *bounds[:6], COUNTED + 1, ["live"])
    is_estimate = live > COUNTED
    if skip:
        place = await connection.fetchrow(statements.LIVE_POSITION, *scanned, skip)
        if place is None:
            return NumberedPage([], total, is_estimate)
        bounds = [*bounds[:4], *place, span.limit]
    found = await connection.fetch(statements.LIVE, *bounds[:6], span.limit, status, COUNTED)
    return NumberedPage([Execution(**row) for row in found], total, is_estimate)
