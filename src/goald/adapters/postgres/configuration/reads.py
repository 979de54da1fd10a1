"""Reads rows of the configuration into the domain's types."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, get_args
from uuid import UUID

from goald.adapters.postgres.configuration import statements
from goald.adapters.postgres.configuration.definitions import read_definitions
from goald.domain.configuration.criteria import references
from goald.domain.configuration.edits import COUNTED_ENROLLMENTS
from goald.domain.configuration.goals import CatalogKind
from goald.domain.configuration.workflows import (
    ConfigurationScope,
    CurrentConfiguration,
    EntityRow,
    GoalRow,
    RowMetadata,
    SettingsRow,
    WorkflowRow,
)

_KINDS = list(get_args(CatalogKind))
_STAMP = ("version", "created_at", "updated_at")


async def read(connection: Any, tenant: str, scope: ConfigurationScope) -> CurrentConfiguration:
    """Read the rows in the scope. The cost does not depend on the tenant's other rows."""
    current = CurrentConfiguration()
    await _read_workflows(connection, tenant, scope, current)
    if scope.settings and (row := await connection.fetchrow(statements.SETTINGS, tenant)):
        current.settings = SettingsRow(**row)
    entities = set(scope.entities)
    if scope.references:
        for row in (row for rows in current.goals.values() for row in rows):
            found = references(row.goal_type, row.criteria)
            entities |= {(kind, entity) for _, kind, entity in found}
    if entities:
        kinds, ids = zip(*sorted(entities), strict=True)
        _add_entities(current, await connection.fetch(statements.ENTITIES, tenant, kinds, ids))
        known = await connection.fetch(statements.KINDS, tenant, _KINDS)
        current.kinds = {row["kind"] for row in known}
    if scope.kinds:
        of_kinds = await connection.fetch(statements.ENTITIES_OF_KINDS, tenant, sorted(scope.kinds))
        _add_entities(current, of_kinds)
    return current


async def _read_workflows(
    connection: Any, tenant: str, scope: ConfigurationScope, current: CurrentConfiguration
) -> None:
    if scope.workflows is None:
        workflows = await connection.fetch(statements.ALL_WORKFLOWS, tenant)
        goals = await connection.fetch(statements.ALL_GOALS, tenant)
    elif scope.workflows:
        ids = sorted(scope.workflows)
        workflows = await connection.fetch(statements.WORKFLOWS, tenant, ids)
        goals = await connection.fetch(statements.GOALS, tenant, ids)
    else:
        return
    current.workflows = {row["id"]: workflow_row(row) for row in workflows}
    if scope.active_enrollments:
        counted = await connection.fetch(
            statements.ACTIVE_ENROLLMENTS, tenant, list(current.workflows), scope.active_enrollments
        )
        current.active_enrollments = {row["workflow_id"]: row["enrollments"] for row in counted}
    if scope.missed:
        inactive = [row.id for row in current.workflows.values() if not row.is_active]
        missed = await connection.fetch(statements.MISSED, tenant, inactive, COUNTED_ENROLLMENTS)
        current.missed = {row["workflow_id"]: row["enrollments"] for row in missed}
        overdue = await connection.fetch(statements.OVERDUE, tenant, inactive, COUNTED_ENROLLMENTS)
        current.overdue = {row["workflow_id"]: row["executions"] for row in overdue}
    if scope.definitions:
        ids = list(current.workflows)
        current.definitions = await read_definitions(connection, tenant, ids)
    for row in goals:
        current.goals.setdefault(row["workflow_id"], []).append(_goal_row(row))


def workflow_row(row: Mapping[str, Any]) -> WorkflowRow:
    return WorkflowRow(**_contents(row), metadata=row_metadata(row))


def row_metadata(row: Mapping[str, Any]) -> RowMetadata:
    return RowMetadata(*(row[name] for name in _STAMP))


def _goal_row(row: Mapping[str, Any]) -> GoalRow:
    contents = _contents(row)
    contents["id"] = UUID(int=row["id"].int)  # some libraries do not accept asyncpg's UUID subclass
    contents["criteria"] = json.loads(contents["criteria"], parse_float=Decimal, parse_int=Decimal)
    return GoalRow(**contents, metadata=row_metadata(row))


def _contents(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in _STAMP}


def _add_entities(current: CurrentConfiguration, rows: list[Mapping[str, Any]]) -> None:
    for row in rows:
        current.catalog.setdefault(row["kind"], {})[row["id"]] = EntityRow(**row)
