"""The configuration of tenants, in Postgres: read whole, changed in one transaction."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import asyncpg

from goald.adapters.postgres import configuration_statements as statements
from goald.adapters.postgres.connection import SETTINGS, Connection
from goald.domain.errors import InvalidFile
from goald.domain.notices import criteria_text
from goald.domain.streams import NOTICES, slot_of
from goald.domain.workflows import (
    Decision,
    Difference,
    EntityRow,
    GoalRow,
    HeldConfiguration,
    Holders,
    WorkflowRow,
)

API_ROLE = "goald_api"


class PostgresConfigurations:
    """`runtime.configuration.Configurations`, over one connection of its own."""

    def __init__(self, dsn: str) -> None:
        self._connection = Connection(dsn, role=API_ROLE, name="goald-api", settings=SETTINGS)

    async def held(self, tenant: str) -> HeldConfiguration:
        async with self._connection.use() as connection, connection.transaction(readonly=True):
            await connection.execute(statements.SET_TENANT, tenant)
            return await _read(connection)

    async def change(
        self, tenant: str, decide: Callable[[HeldConfiguration], Decision]
    ) -> tuple[Decision, int | None]:
        async with self._connection.use() as connection, connection.transaction():
            await connection.execute(statements.SET_TENANT, tenant)
            await connection.execute(statements.LOCK_CONFIGURATION)
            decision = decide(await _read(connection))
            version = await _write(connection, tenant, decision.changes)
            for notice in decision.notices:
                await connection.execute(
                    statements.ADD_NOTICE, tenant, slot_of(tenant, notice.workflow_id),
                    notice.message_id, NOTICES, notice.payload,
                )  # fmt: skip
        return decision, version

    async def holders(self, version: int) -> Holders:
        async with self._connection.use() as connection:
            row = await connection.fetchrow(statements.HOLDERS, version)
        return Holders(row["ready"], row["live"])

    async def close(self) -> None:
        await self._connection.close()


async def _read(connection: Any) -> HeldConfiguration:
    held = HeldConfiguration()
    for row in await connection.fetch(statements.WORKFLOWS):
        held.workflows[row["id"]] = WorkflowRow(**row)
    for row in await connection.fetch(statements.GOALS):
        criteria = json.loads(row["criteria"], parse_float=Decimal, parse_int=Decimal)
        goal = GoalRow(**{**row, "criteria": criteria})
        held.goals.setdefault(goal.workflow_id, []).append(goal)
    for row in await connection.fetch(statements.ENTITIES):
        held.catalog.setdefault(row["kind"], {})[row["id"]] = EntityRow(**row)
    return held


async def _write(connection: Any, tenant: str, changes: list[Difference]) -> int | None:
    """Carry changes out; the version they make, None where no shard need know."""
    touched = {
        change.row.workflow_id if isinstance(change.row, GoalRow) else change.row.id
        for change in changes
        if not isinstance(change.row, EntityRow)
    }
    version: int | None = await connection.fetchval(statements.NEXT_VERSION) if touched else None
    for change in changes:
        if isinstance(change.row, WorkflowRow):
            await connection.execute(
                statements.SAVE_WORKFLOW, tenant, change.row.id, change.row.name,
                change.row.goal_logic, change.row.is_active, version,
            )  # fmt: skip
        elif isinstance(change.row, EntityRow):
            await _write_entity(connection, tenant, change, change.row)
        else:
            await _write_goal(connection, tenant, change, change.row)
    for workflow_id in sorted(touched):
        await connection.execute(statements.TOUCH_WORKFLOW, tenant, workflow_id, version)
    return version


async def _write_entity(connection: Any, tenant: str, change: Difference, row: EntityRow) -> None:
    if change.after is None:
        await connection.execute(statements.DELETE_ENTITY, tenant, row.kind, row.id)
    else:
        await connection.execute(statements.SAVE_ENTITY, tenant, row.kind, row.id, row.name)


async def _write_goal(connection: Any, tenant: str, change: Difference, row: GoalRow) -> None:
    criteria = criteria_text(row)
    try:
        if change.action == "delete":
            await connection.execute(statements.DELETE_GOAL, tenant, row.id)
        elif change.action == "create":
            await connection.execute(
                statements.ADD_GOAL, tenant, row.id, row.workflow_id, row.key, row.position,
                row.goal_type, criteria, row.is_active, row.effective_from,
            )  # fmt: skip
        else:
            await connection.execute(
                statements.CHANGE_GOAL, tenant, row.id, row.key, row.goal_type, criteria,
                row.is_active, row.effective_from,
            )  # fmt: skip
    except asyncpg.UniqueViolationError:
        raise InvalidFile(
            f"workflow {row.workflow_id}: it has a {row.goal_type} goal with {criteria} or the "
            f"key {row.key!r} already; where two goals exchange them, apply it in two steps"
        ) from None
