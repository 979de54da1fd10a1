"""The API and `goald apply` use one service: the same change writes the same rows, notices and
audit entries."""

import json
import re
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
from tests.support.services.servers import Database

from goald.configuration.file import parse_configuration
from goald.configuration.service import ConfigurationService
from goald.domain.configuration.edits import ExpectedVersion, GoalPatch, NewGoal
from goald.domain.configuration.workflows import EntityRow
from goald.runtime.wiring.daemon import configuration_service

ANY_VERSION = ExpectedVersion()
SINCE = 1_767_225_600_000_000

WORKFLOWS = "SELECT * FROM goald.workflows WHERE tenant_id = $1"
GOALS = """
SELECT w.*, w.effective_from IS NULL AS is_draft FROM goald.workflow_goals w
WHERE tenant_id = $1 ORDER BY position, criteria::text, deleted_at NULLS FIRST
"""
ENTITIES = "SELECT * FROM goald.catalog_entities WHERE tenant_id = $1 ORDER BY kind, entity_id"
OUTBOX = (
    "SELECT stream, payload::json AS payload FROM goald.outbox WHERE tenant_id = $1 ORDER BY number"
)
AUDIT = """
SELECT action, subject, subject_id, workflow_id, before, after FROM goald.audit_log
WHERE tenant_id = $1 ORDER BY number
"""
_VOLATILE = {
    "tenant_id", "id", "config_version", "created_at", "updated_at", "deleted_at", "created_by",
    "updated_by", "effective_from", "time", "tenantid",
}  # fmt: skip
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.fixture
async def service(database: Database) -> AsyncIterator[ConfigurationService]:
    service = configuration_service(database.dsn)
    yield service
    await service.close()


def normalized(value: Any) -> Any:
    """The value without ids, times, tenants and actors. A volatile field keeps only whether it is
    null."""
    if isinstance(value, str) and value.startswith("{"):
        return normalized(json.loads(value))
    if isinstance(value, str):
        return _UUID.sub("an id", value)
    if isinstance(value, dict):
        return {
            name: normalized(field) if name not in _VOLATILE else field is None
            for name, field in value.items()
            if name != "version" or "tenantid" not in value
        }
    return [normalized(item) for item in value] if isinstance(value, list) else value


async def stored_rows(database: Database, tenant: str) -> dict[str, list[Any]]:
    """The normalized rows of a tenant, by query."""
    connection = await asyncpg.connect(database.admin_dsn)
    try:
        return {
            query: [normalized({**row}) for row in await connection.fetch(query, tenant)]
            for query in (WORKFLOWS, GOALS, ENTITIES, OUTBOX, AUDIT)
        }
    finally:
        await connection.close()


def file(text: str) -> str:
    return "tenant: by-file\n" + text


GOAL_TAG = "{goal_type: tag_added, key: k, criteria: {tag_id: t-1}}"
GOAL_BUY = (
    "{goal_type: purchase_made, criteria: {min_amount: 100.00, product_id: null},"
    " effective_from: 2026-01-01T00:00:00Z}"
)


async def test_api_and_file_write_the_same_rows(
    service: ConfigurationService, database: Database
) -> None:
    by_api = ("by-api", "someone")
    goals: dict[str, Any] = {}

    async def tag_goal() -> None:
        goal = NewGoal("tag_added", {"tag_id": "t-1"}, key="k")
        goals["tag"] = (await service.add_goal(*by_api, "w", goal)).row.id

    async def purchase_goal() -> None:
        criteria = {"min_amount": Decimal("100.00")}
        goal = NewGoal("purchase_made", criteria, effective_from=SINCE)
        goals["buy"] = (await service.add_goal(*by_api, "w", goal)).row.id

    async def change_tag() -> None:
        patch = GoalPatch(criteria={"tag_id": "t-2"})
        await service.change_goal(*by_api, "w", goals["tag"], patch, ANY_VERSION)

    steps: list[tuple[Any, str, bool]] = [
        (
            lambda: service.put_entity(*by_api, EntityRow("tag", "t-1", "One")),
            "catalog: {tag: [{id: t-1, name: One}]}",
            False,
        ),
        (
            lambda: service.put_entity(*by_api, EntityRow("tag", "t-2", "Two")),
            "catalog: {tag: [{id: t-2, name: Two}]}",
            False,
        ),
        (
            lambda: service.put_workflow(*by_api, "w", "W", "all", ANY_VERSION),
            "workflows: [{id: w, name: W, goal_logic: all}]",
            False,
        ),
        (tag_goal, f"workflows: [{{id: w, goals: [{GOAL_TAG}]}}]", False),
        (purchase_goal, f"workflows: [{{id: w, goals: [{GOAL_BUY}]}}]", False),
        (
            lambda: service.set_active(*by_api, "w", True, ANY_VERSION),
            "workflows: [{id: w, active: true}]",
            False,
        ),
        (
            change_tag,
            f"workflows: [{{id: w, goals: [{GOAL_TAG.replace('t-1', 't-2')}]}}]",
            False,
        ),
        (
            lambda: service.put_workflow(*by_api, "w", "V", None, ANY_VERSION),
            "workflows: [{id: w, name: V}]",
            False,
        ),
        (
            lambda: service.delete_goal(*by_api, "w", goals["buy"], ANY_VERSION),
            f"workflows: [{{id: w, goals: [{GOAL_TAG.replace('t-1', 't-2')}]}}]",
            True,
        ),
        (
            lambda: service.set_active(*by_api, "w", False, ANY_VERSION),
            "workflows: [{id: w, active: false}]",
            False,
        ),
        (
            lambda: service.delete_entity(*by_api, "tag", "t-1"),
            "workflows: [{id: w}]\ncatalog: {tag: [{id: t-2, name: Two}]}",
            True,
        ),
    ]
    for number, (edit, text, prune) in enumerate(steps):
        await edit()
        desired = parse_configuration(file(text))
        applied = await service.apply(desired, prune=prune, actor="someone")
        assert applied.changes, text
        edited = await stored_rows(database, "by-api")
        assert edited == await stored_rows(database, "by-file"), f"step {number}"
        assert await service.plan(desired, prune=prune) == []
    assert [entry["action"] for entry in edited[AUDIT]] == [
        "entity.created",
        "entity.created",
        "workflow.created",
        "goal.created",
        "goal.created",
        "workflow.activated",
        "goal.updated",
        "goal.updated",
        "workflow.updated",
        "goal.deleted",
        "workflow.deactivated",
        "entity.deleted",
    ]


async def test_actor_of_each_change_is_recorded(
    service: ConfigurationService, database: Database
) -> None:
    await service.put_workflow("acme", "editor-7", "w", None, None, ANY_VERSION)
    text = "tenant: acme\nworkflows: [{id: w, name: New}]"
    await service.apply(parse_configuration(text), actor="cli:someone")
    connection = await asyncpg.connect(database.admin_dsn)
    try:
        actors = await connection.fetch("SELECT actor FROM goald.audit_log ORDER BY number")
        row = await connection.fetchrow("SELECT created_by, updated_by FROM goald.workflows")
    finally:
        await connection.close()
    assert [actor for (actor,) in actors] == ["editor-7", "cli:someone"]
    assert tuple(row) == ("editor-7", "cli:someone")
