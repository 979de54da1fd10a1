"""Writes a change set in the transaction that decided it."""

import json
from dataclasses import astuple, replace
from typing import Any

import asyncpg

from goald.adapters.postgres.configuration import statements
from goald.adapters.postgres.configuration.definitions import write_definition
from goald.adapters.postgres.configuration.reads import row_metadata
from goald.domain.configuration.criteria import criteria_text
from goald.domain.configuration.workflows import (
    ChangeSet,
    CommittedChanges,
    ConfigurationChange,
    DefinitionRow,
    EntityRow,
    GoalRow,
    Notice,
    OutboxNotice,
    SettingsRow,
    WorkflowRow,
)
from goald.domain.errors import AlreadyExists
from goald.domain.slots import slot_of
from goald.domain.streams import OutboundStream

MAX_LISTED_WORKFLOWS = 100
"""A control message about more workflows does not list their ids."""


async def write(connection: Any, tenant: str, change_set: ChangeSet) -> CommittedChanges:
    """Write the rows in the given order, then the messages about them.

    Takes the version last, because its lock blocks all other changes until the commit.
    """
    written = [await _write(connection, tenant, change) for change in change_set.changes]
    notices = await _add_notices(connection, tenant, change_set.notices)
    touched = await _touched(connection, tenant, change_set.changes)
    if not touched:
        return CommittedChanges(written, None, notices)
    await connection.execute(statements.LOCK_WORKFLOWS, tenant, touched)
    await connection.execute(statements.AUDIT)
    listed = touched if len(touched) <= MAX_LISTED_WORKFLOWS else None
    rest = f',"tenantid":{json.dumps(tenant)},"workflows":{json.dumps(listed)}}}'
    version, number = await connection.fetchrow(
        statements.TAKE_VERSION,
        tenant,
        touched,
        slot_of(tenant, touched[0]),
        OutboundStream.CONTROL,
        rest,
    )
    control = OutboxNotice(number, OutboundStream.CONTROL, f'{{"version":{version}{rest}')
    return CommittedChanges(written, version, [*notices, control])


async def _touched(connection: Any, tenant: str, changes: list[ConfigurationChange]) -> list[str]:
    """The workflows that shards must load again: those that changed, in order of their ids. Shards
    read the settings of a tenant with each of its workflows."""
    touched: set[str] = set()
    for row in (change.row for change in changes):
        if isinstance(row, SettingsRow):
            touched |= set(await connection.fetchval(statements.WORKFLOW_IDS, tenant))
        elif isinstance(row, GoalRow) or (isinstance(row, DefinitionRow) and row.is_published):
            touched.add(row.workflow_id)
        elif isinstance(row, WorkflowRow):
            touched.add(row.id)
    return sorted(touched)


async def _write(connection: Any, tenant: str, change: ConfigurationChange) -> ConfigurationChange:
    if isinstance(change.row, SettingsRow):
        await connection.execute(statements.SAVE_SETTINGS, tenant, *astuple(change.row))
        return change
    if isinstance(change.row, WorkflowRow):
        return await _write_workflow(connection, tenant, change, change.row)
    if isinstance(change.row, DefinitionRow):
        return await write_definition(connection, tenant, change, change.row)
    if isinstance(change.row, EntityRow):
        await _write_entity(connection, tenant, change, change.row)
        return change
    try:
        return await _write_goal(connection, tenant, change, change.row)
    except asyncpg.UniqueViolationError:
        row = change.row
        raise AlreadyExists(
            f"workflow {row.workflow_id}: another goal has the key {row.key!r}, or the type "
            f"{row.goal_type} with the criteria {criteria_text(row.criteria)}. To exchange these "
            "between two goals, apply the change in two steps"
        ) from None


async def _write_workflow(
    connection: Any, tenant: str, change: ConfigurationChange, row: WorkflowRow
) -> ConfigurationChange:
    if change.after is None:
        await connection.execute(statements.DELETE_WORKFLOW, tenant, row.id)
        return change
    saved = await connection.fetchrow(
        statements.SAVE_WORKFLOW, tenant, row.id, row.name, row.goal_logic, row.is_active,
        row.exits_missed, row.overdue, row.activated_at,
    )  # fmt: skip
    return replace(change, after=replace(row, metadata=row_metadata(saved)))


async def _write_entity(
    connection: Any, tenant: str, change: ConfigurationChange, row: EntityRow
) -> None:
    if change.after is None:
        await connection.execute(statements.DELETE_ENTITY, tenant, row.kind, row.id)
    else:
        await connection.execute(statements.SAVE_ENTITY, tenant, row.kind, row.id, row.name)


async def _write_goal(
    connection: Any, tenant: str, change: ConfigurationChange, row: GoalRow
) -> ConfigurationChange:
    criteria = criteria_text(row.criteria)
    if change.action == "delete":
        await connection.execute(statements.DELETE_GOAL, tenant, row.id)
        return change
    if change.action == "create":
        saved = await connection.fetchrow(
            statements.ADD_GOAL, tenant, row.id, row.workflow_id, row.key, row.position,
            row.goal_type, criteria, row.is_active, row.effective_from, row.check_on_enrollment,
            row.conversion_window,
        )  # fmt: skip
    else:
        saved = await connection.fetchrow(
            statements.CHANGE_GOAL, tenant, row.id, row.key, row.goal_type, criteria,
            row.is_active, row.effective_from, row.check_on_enrollment, row.conversion_window,
        )  # fmt: skip
    return replace(change, after=replace(row, metadata=row_metadata(saved)))


async def _add_notices(connection: Any, tenant: str, notices: list[Notice]) -> list[OutboxNotice]:
    if not notices:
        return []
    rows = await connection.fetch(
        statements.ADD_NOTICES,
        tenant,
        OutboundStream.NOTICES,
        [slot_of(tenant, notice.workflow_id) for notice in notices],
        [notice.message_id for notice in notices],
        [notice.payload for notice in notices],
    )
    return [
        OutboxNotice(row["number"], OutboundStream.NOTICES, notice.payload)
        for row, notice in zip(rows, notices, strict=True)
    ]
