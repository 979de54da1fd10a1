"""The rows that questions about ended enrollments read, and pages of their ends, do not depend on
how many there are (E18)."""

import json
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest
from tests.support.services.servers import Database

from goald.adapters.postgres.connection import SETTINGS, WRITER_SETTINGS
from goald.adapters.postgres.session_statements import begin_for
from goald.adapters.postgres.shard import ended, statements
from goald.domain.slots import SlotRange

ROWS = int(os.environ.get("ENDED_ROWS", "3000"))
LIMIT = 20
ENROLLMENTS = """
INSERT INTO goald.workflow_enrollments
    (tenant_id, id, contact_id, workflow_id, slot, status, enrolled_at, ended_at)
SELECT {tenant}, 'e-' || n, {contact}, 'w-1', {slot}, 'exited', goald.at(0),
       goald.at(n::int8 * 1000000)
FROM generate_series(1, {rows}) n
"""


@pytest.fixture(params=[WRITER_SETTINGS, SETTINGS], ids=["commits", "pages"])
async def shard(database: Database, request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """A connection of a shard, over a contact with many ended enrollments, and many others."""
    admin = await asyncpg.connect(database.admin_dsn)
    for prefix, contact, tenant, slot in (
        ("e", "'c-1'", "'acme'", "3"),
        ("o", "'c-' || n + 1", "'acme'", "3"),
        ("p", "'d-' || n", "'acme'", "4"),
        ("x", "'erased:' || n", "'acme'", "3"),
        ("q", "'c-' || n", "'other'", "3"),
        ("r", "'f-' || n", "'acme'", "200"),
    ):
        values = {"contact": contact, "tenant": tenant, "slot": slot, "rows": ROWS}
        await admin.execute(ENROLLMENTS.replace("'e-'", f"'{prefix}-'").format(**values))
    await admin.execute("ANALYZE goald.workflow_enrollments")
    await admin.close()
    settings = {"role": "goald_shard", **request.param}
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
        for node in _nodes(found["Plan"])
        if "Scan" in node["Node Type"]
    )


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


@pytest.mark.parametrize(("contacts", "workflows"), [(1, 1), (100, 1), (1, 100)])
async def test_a_question_reads_the_latest_enrollments_of_the_contact(
    shard: Any, contacts: int, workflows: int
) -> None:
    """At any number of other questions, and of workflows that watch."""
    asked = [("acme", f"c-{contact + 1}", f"w-{workflow + 1}", "0")
             for contact in range(contacts) for workflow in range(workflows)]  # fmt: skip
    columns = ", ".join(f"'{{{','.join(column)}}}'" for column in zip(*asked, strict=True))
    types = "text[], text[], text[], int8[], int8"
    read = await rows_read(shard, types, ended.RUNS, f"{columns}, {LIMIT}")
    assert read <= 10 * (LIMIT + contacts)


async def test_a_question_reads_no_enrollments_that_ended_too_early(shard: Any) -> None:
    latest = (ROWS - 2) * 1_000_000
    arguments = f"'{{acme}}', '{{c-1}}', '{{w-1}}', '{{{latest}}}', {ROWS}"
    types = "text[], text[], text[], int8[], int8"
    assert await rows_read(shard, types, ended.RUNS, arguments) <= 10 * 3


@pytest.mark.parametrize("slots", [[3], [3, 4], [5], list(range(128))], ids=len)
async def test_a_page_of_ends_reads_as_many_rows_as_it_has(shard: Any, slots: list[int]) -> None:
    """At any number of ends of other slots, other tenants and erased contacts."""
    await shard.execute(ended.IN_ORDER)
    times = [ROWS // 2 * 1_000_000] * len(slots)
    numbers = ",".join(map(str, slots)), ",".join(map(str, times)), ",".join('""' for _ in slots)
    positions = ", ".join(f"'{{{each}}}'" for each in numbers)
    types = "text, int2[], int8[], text[], int8, int8"
    read = await rows_read(shard, types, ended.ENDS, f"'acme', {positions}, 0, {LIMIT}")
    # The positions are read too, twice.
    assert read - 2 * len(slots) <= LIMIT * len({3, 4}.intersection(slots))


async def test_an_enrollment_that_meets_goals_after_its_end_is_found_by_its_id(shard: Any) -> None:
    types = "text[], text[], text[], text[], text[], int8[]"
    goal = "'{\"{00000000-0000-4000-8000-000000000001}\"}'"
    arguments = f"'{{acme}}', '{{e-7}}', '{{c-1}}', '{{w-1}}', {goal}, '{{1}}'"
    assert await rows_read(shard, types, statements.UPDATE_AFTER_END, arguments) <= 10
