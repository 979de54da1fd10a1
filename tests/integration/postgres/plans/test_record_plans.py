"""Query plans for pages of enrollments and achievements in large tables."""

import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import psycopg
import pytest
from tests.support.services.servers import Database

from goald.adapters.postgres.records import statements
from goald.adapters.postgres.tenants import SET_TENANT

MANY = 60_000
LIMIT = 51
SCANNED = 1_000
AT = 1_767_225_600_000_000  # 2026-01-01
NO_ID = "00000000-0000-0000-0000-000000000000"
STATUSES = ["active", "completed_goal", "completed", "exited", "cancelled"]

ENROLL = """
INSERT INTO goald.workflow_enrollments
    (tenant_id, id, contact_id, workflow_id, slot, status, enrolled_at, ended_at)
SELECT 'acme', 'e-' || i, 'c-' || i %% 20000, 'w-' || i %% 2, 0,
    CASE WHEN i %% 1000 = 0 THEN 'exited' ELSE 'active' END, goald.at(%s),
    CASE WHEN i %% 1000 = 0 THEN now() END
FROM generate_series(1, %s::int) AS i
"""
"""All rows have the same time, as at the start of a campaign. This is the worst case of a list by
time."""
ACHIEVE = """
INSERT INTO goald.workflow_goal_achievements
    (tenant_id, id, workflow_id, workflow_enrollment_id, contact_id, goal_config_id, goal_type,
     slot, achieved_at, trigger_event, metadata)
SELECT 'acme', gen_random_uuid(), 'w-' || i %% 2, 'e-' || i, 'c-' || i %% 20000,
    gen_random_uuid(), 'tag_added', 0, goald.at(%s + i), '{}', '{}'
FROM generate_series(1, %s::int) i
"""


@pytest.fixture(scope="module")
def crowded(module_database: Database) -> Database:
    """A database with many rows of one workflow."""
    with psycopg.connect(module_database.admin_dsn) as admin:
        admin.execute("SET session_replication_role = replica")  # no rollups, no audit
        admin.execute(ENROLL, (AT, MANY))
        admin.execute(ACHIEVE, (AT, MANY))
        admin.execute("ANALYZE goald.workflow_enrollments, goald.workflow_goal_achievements")
    return module_database


@pytest.fixture
async def reader(crowded: Database) -> AsyncIterator[Any]:
    """A connection with the API's settings."""
    connection = await asyncpg.connect(crowded.dsn, server_settings={"role": "goald_api"})
    async with connection.transaction():
        await connection.execute(SET_TENANT, "acme", "")
        yield connection
    await connection.close()


async def rows_read(connection: Any, statement: str, *values: Any) -> tuple[int, list[str]]:
    """The number of rows read from tables, and the kinds of scans that read rows."""
    plan = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", *values)
    counted, kinds = 0, []
    waiting = [json.loads(plan)[0]["Plan"]]
    while waiting:
        node = waiting.pop()
        waiting += node.get("Plans", [])
        if "Relation Name" in node:
            removed = node.get("Rows Removed by Filter", 0)
            read = round((node["Actual Rows"] + removed) * node["Actual Loops"])
            counted += read
            kinds += [node["Node Type"]] if read else []
    return counted, kinds


@pytest.mark.parametrize("statuses", [STATUSES, ["exited"], ["cancelled"]])
@pytest.mark.parametrize("after", [(2 * AT, NO_ID), (AT, "e-5")])
async def test_a_page_of_enrollments_reads_no_more_than_a_page_of_each_status(
    reader: Any, statuses: list[str], after: tuple[int, str]
) -> None:
    await reader.execute(statements.IN_ORDER)
    given = ("acme", "w-0", 0, 2 * AT, *after, LIMIT, statuses)
    read, kinds = await rows_read(reader, statements.ENROLLMENTS, *given)
    assert read <= LIMIT * len(statuses)
    assert "Seq Scan" not in kinds


async def test_a_contacts_enrollments_are_found_by_the_contact(reader: Any) -> None:
    given = ("acme", "w-0", 0, 2 * AT, 2 * AT, NO_ID, LIMIT, STATUSES, "c-4")
    read, kinds = await rows_read(reader, statements.ENROLLMENTS_OF_CONTACT, *given)
    assert 0 < read < 10
    assert "Seq Scan" not in kinds


later_pages = pytest.mark.parametrize(
    "after", [(2 * AT, NO_ID), (AT + MANY // 2, "f0000000-0000-0000-0000-000000000000")]
)


@later_pages
async def test_a_page_of_achievements_reads_little_more_than_the_page(
    reader: Any, after: tuple[int, str]
) -> None:
    await reader.execute(statements.IN_ORDER)
    given = ("acme", "w-0", 0, 2 * AT, *after, LIMIT)
    read, kinds = await rows_read(reader, statements.achievements([]), *given)
    assert 0 < read <= LIMIT + 5
    assert "Seq Scan" not in kinds


@pytest.mark.parametrize(
    ("filters", "most"),
    [
        ({"goal_type": "tag_added"}, 2 * LIMIT),
        ({"goal_type": "purchase_made"}, SCANNED),
        ({"goal_id": NO_ID}, SCANNED),
        ({"goal_id": NO_ID, "goal_type": "tag_added"}, SCANNED),
    ],
)
@later_pages
async def test_a_filtered_page_of_achievements_reads_a_bounded_number_of_rows(
    reader: Any, filters: dict[str, str], most: int, after: tuple[int, str]
) -> None:
    await reader.execute(statements.IN_ORDER)
    given = ("acme", "w-0", 0, 2 * AT, *after)
    among = statements.achievements_among(list(filters))
    read, kinds = await rows_read(reader, among, *given, LIMIT, SCANNED, *filters.values())
    assert 0 < read <= most + 5
    assert "Seq Scan" not in kinds
    read, kinds = await rows_read(reader, statements.ACHIEVEMENTS_SCANNED_TO, *given, SCANNED - 1)
    assert 0 < read <= SCANNED + 5
    assert "Seq Scan" not in kinds


@pytest.mark.parametrize("filters", [{"contact_id": "c-4"}, {"enrollment_id": "e-4"}])
async def test_a_contacts_achievements_are_found_by_an_index(
    reader: Any, filters: dict[str, str]
) -> None:
    given = ("acme", "w-0", 0, 2 * AT, 2 * AT, NO_ID, LIMIT, *filters.values())
    read, kinds = await rows_read(reader, statements.achievements(list(filters)), *given)
    assert 0 < read < 10
    assert "Seq Scan" not in kinds
