"""The rows that a page of missed events reads do not depend on how many there are (E19)."""

import json
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest
from tests.support.services.servers import Database

from goald.adapters.postgres.connection import WRITER_SETTINGS
from goald.adapters.postgres.session_statements import begin_for
from goald.adapters.postgres.shard import missed
from goald.domain.slots import SlotRange

ROWS = int(os.environ.get("MISSED_ROWS", "2000"))
LIMIT = 20
CONTACTS = {"many contacts": "'c-' || n", "a contact": "'c-1'"}
RUNS = """
INSERT INTO goald.missed_runs (tenant_id, enrollment_id, workflow_id, contact_id, event, slot)
SELECT 'acme', 'e-' || lpad(n::text, 9, '0'), 'w-1', {contact}, md5({contact})::uuid, 3
FROM generate_series(1, {rows}) n
"""
EVENTS = """
INSERT INTO goald.missed_events
    (tenant_id, contact_id, event, slot, entry_id, payload, old_tags)
SELECT 'acme', {contact}, md5({contact})::uuid, 3, '1-0', repeat('x', 5000)::bytea, '{{}}'
FROM generate_series(1, {rows}) n ON CONFLICT DO NOTHING
"""


@pytest.fixture(params=list(CONTACTS))
async def shard(database: Database, request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """A connection of a shard, over the missed events of many contacts, or of a contact."""
    admin = await asyncpg.connect(database.admin_dsn)
    for statement in (RUNS, EVENTS):
        await admin.execute(statement.format(contact=CONTACTS[request.param], rows=ROWS))
    await admin.execute("ANALYZE goald.missed_runs; ANALYZE goald.missed_events")
    await admin.close()
    settings = {"role": "goald_shard", **WRITER_SETTINGS}
    connection = await asyncpg.connect(database.dsn, server_settings=settings)
    await connection.execute(begin_for(SlotRange(0, 127)))
    yield connection
    await connection.close()


async def rows_read(connection: Any, types: str, statement: str, arguments: str) -> int:
    """Execute a statement. Returns how many rows and index entries it reads."""
    await connection.execute(f"PREPARE one ({types}) AS {statement}")
    explain = f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE one ({arguments})"
    (found,) = json.loads(await connection.fetchval(explain))
    await connection.execute("DEALLOCATE one")
    return sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        for node in nodes(found["Plan"])
        if "Scan" in node["Node Type"]
    )


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


PAGE = "text, text, int2, text, int8"
AFTER = f"'acme', 'w-1', 3, 'e-{ROWS // 2:09}', {LIMIT}"


@pytest.mark.parametrize("statement", [missed.PAGE, missed.FORGOTTEN], ids=["exit", "forget"])
async def test_page_reads_as_many_rows_as_it_has(shard: Any, statement: str) -> None:
    assert await rows_read(shard, PAGE, statement, AFTER) <= 4 * LIMIT


async def test_one_row_of_each_workflow_is_read(shard: Any) -> None:
    arguments = "'{acme,acme,globex}', '{w-1,w-2,w-1}'"
    assert await rows_read(shard, "text[], text[]", missed.WORKFLOWS, arguments) <= 12


async def test_removal_reads_the_removed_rows(shard: Any) -> None:
    page = await shard.fetch(missed.FORGOTTEN, "acme", "w-1", 3, "", LIMIT)
    tenants = f"'{{{','.join(['acme'] * LIMIT)}}}'"
    enrollments = ",".join(enrollment for _, enrollment in page)
    keys = f"{tenants}, '{{{enrollments}}}'"
    assert await rows_read(shard, "text[], text[]", missed.DROP_RUNS, keys) <= 4 * LIMIT
    events = "'{acme}', '{c-1}', ARRAY[md5('c-1')]"
    read = await rows_read(shard, "text[], text[], text[]", missed.DROP_EVENTS, events)
    assert read <= 6


async def test_events_are_kept_by_their_keys(shard: Any) -> None:
    tenants = f"'{{{','.join(['acme'] * LIMIT)}}}'"
    ids = f"'{{{','.join(f'e-{number}' for number in range(LIMIT))}}}'"
    key = "ARRAY[" + ",".join([f"'{'0' * 32}'"] * LIMIT) + "]"
    slots = f"'{{{','.join(['3'] * LIMIT)}}}'"
    arguments = f"{tenants}, {ids}, {ids}, {ids}, {key}, {slots}"
    types = "text[], text[], text[], text[], text[], int2[]"
    assert await rows_read(shard, types, missed.INSERT_RUNS, arguments) <= 4 * LIMIT
