"""The enrollments of one contact are found by an index, not by a scan."""

from typing import Any

import asyncpg
import psycopg
import pytest
from tests.integration.postgres.plans.test_record_plans import rows_read
from tests.support.services.servers import Database

from goald.adapters.postgres.records import contacts
from goald.adapters.postgres.shard import statements
from goald.adapters.postgres.tenants import SET_TENANT

ENROLL = """
INSERT INTO goald.workflow_enrollments
    (tenant_id, id, contact_id, workflow_id, slot, status, enrolled_at, ended_at)
SELECT CASE WHEN i % 20 = 0 THEN 'globex' ELSE 'acme' END, 'e-' || i, 'c-' || i % 20000, 'w-1', 0,
    CASE WHEN i % 3 = 0 THEN 'exited' ELSE 'active' END, now() - i * interval '1 s',
    CASE WHEN i % 3 = 0 THEN now() END
FROM generate_series(1, 60000) AS i
"""


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        (statements.LOAD_NEWEST, ("acme", "c-7", 1_000)),
        (contacts.WORKFLOW_IDS, ("acme", "c-7", 1_000)),
        (contacts.ENDED, ("acme", "c-7", 101)),
        (contacts.ENROLLMENT, ("acme", "e-7")),
    ],
)
async def test_a_dry_run_reads_only_its_contact(
    database: Database, statement: str, values: Any
) -> None:
    with psycopg.connect(database.admin_dsn) as admin:
        admin.execute("SET session_replication_role = replica")  # no rollups, no audit
        admin.execute(ENROLL)
        admin.execute("ANALYZE goald.workflow_enrollments")
    connection = await asyncpg.connect(database.dsn, server_settings={"role": "goald_api"})
    try:
        async with connection.transaction():
            await connection.execute(SET_TENANT, "acme", "")
            read, _ = await rows_read(connection, statement, *values)
    finally:
        await connection.close()
    assert 0 < read <= 3


HISTORY = """
INSERT INTO goald.workflow_enrollments
    (tenant_id, id, contact_id, workflow_id, slot, status, enrolled_at, ended_at)
SELECT 'acme', 'e-' || i, 'ann', 'w-1', 0, CASE WHEN i % 10000 = 0 THEN 'active' ELSE 'exited' END,
    now() - i * interval '1 s', CASE WHEN i % 10000 <> 0 THEN now() - i * interval '1 s' END
FROM generate_series(1, 20000) AS i
"""


@pytest.mark.parametrize(
    ("statement", "values", "most"),
    [
        (statements.LOAD_NEWEST, ("acme", "ann", 1_000), 2),
        (contacts.WORKFLOW_IDS, ("acme", "ann", 1_000), 2),
        (contacts.COUNT_ACTIVE, ("acme", ["ann"], 1_000), 2),
        (statements.LOAD_CONTACTS, (["acme"], ["ann"]), 2),
        (contacts.ENDED, ("acme", "ann", 101), 101),
    ],
)
async def test_ended_enrollments_of_a_contact_are_not_read_for_its_active_ones(
    database: Database, statement: str, values: Any, most: int
) -> None:
    """A long history must not delay a reload of its shard, or the API."""
    with psycopg.connect(database.admin_dsn) as admin:
        admin.execute("SET session_replication_role = replica")  # no rollups, no audit
        admin.execute(HISTORY)
        admin.execute("ANALYZE goald.workflow_enrollments")
    is_shard = statement is statements.LOAD_CONTACTS
    role = "goald_shard" if is_shard else "goald_api"
    connection = await asyncpg.connect(database.dsn, server_settings={"role": role})
    try:
        async with connection.transaction():
            await connection.execute(SET_TENANT, "acme", "")
            await connection.execute("SET LOCAL goald.slots = '0-255'")
            read, _ = await rows_read(connection, statement, *values)
    finally:
        await connection.close()
    assert 0 < read <= most
