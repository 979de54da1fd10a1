"""Executions as the API reads them, and the rows that their statements read in large tables."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import asyncpg
import psycopg
import pytest
from tests.support.pipeline.changes import NOON, SECOND, Effect
from tests.support.pipeline.executions import ASLEEP, NOON_MS, Log, Transition, with_executions
from tests.support.services.servers import Database

from goald.adapters.postgres import PostgresShardStore
from goald.adapters.postgres.records.executions import statements
from goald.adapters.postgres.records.executions.reader import PostgresExecutionRecords
from goald.adapters.postgres.records.statements import IN_ORDER
from goald.adapters.postgres.tenants import SET_TENANT, TenantPool
from goald.domain.ids import EnrollmentId
from goald.domain.records.execution import RequestAnswer
from goald.domain.records.pages import PageRequest
from goald.domain.slots import SlotRange
from goald.ports.executions.change import Answer

STARTED = 6


@pytest.fixture
async def records(database: Database) -> AsyncIterator[PostgresExecutionRecords]:
    """Executions e-0 to e-5 of a workflow, started in this order, of two contacts."""
    store = PostgresShardStore(database.dsn)
    lease = await store.acquire(SlotRange(0, 255), "a")
    contacts = ["ann", "bob"] * (STARTED // 2)
    starts = [
        Transition(f"e-{n}", n, contact_id=contact, started_at_ms=NOON_MS + n)
        for n, contact in enumerate(contacts)
    ]
    effects = [Effect(each.execution_id, contact_id=each.contact_id) for each in starts]
    logs = [Log("execution_started", 0), Log("wait_started", 0), Log("wait_started", 1)]
    answers = [Answer("acme", "r-1", 3, "started", "e-0")]
    await store.commit(lease, with_executions(effects, *starts, logs=logs, answers=answers))
    running = Transition(
        "e-2", None, ASLEEP, state="running", status="ACTIVE", step_id="mail", step_index=2,
        attempt=1, done_steps=["pause"], gate="0000000001-00000000.7", due_ms=None,
    )  # fmt: skip
    done = replace(
        running, execution_id="e-3", effect=0, contact_id="bob", status="COMPLETED",
        reason="finished", step_id="", step_index=3, gate=None,
    )  # fmt: skip
    end = Effect("e-3", contact_id="bob", is_new=False, status="completed", ended_at=NOON + SECOND)
    await store.commit(lease, with_executions([end], running, done))
    await store.close()
    pool = TenantPool(database.dsn, 1)
    yield PostgresExecutionRecords(pool, scanned=3)
    await pool.close()


async def ids(records: PostgresExecutionRecords, limit: int = 9, **filters: str) -> list[list[str]]:
    """The ids of each page of the workflow."""
    pages: list[list[str]] = []
    span = PageRequest(limit)
    while len(pages) < 9:
        page = await records.of_workflow("acme", "w-1", filters, span)
        pages.append([row.id for row in page.rows])
        if page.next is None:
            break
        span = PageRequest(limit, page.next)
    return pages


async def test_execution_has_its_step_and_progress(records: PostgresExecutionRecords) -> None:
    running = await records.execution("acme", "e-2")
    assert running is not None
    assert (running.status, running.step_id, running.done_steps) == ("ACTIVE", "mail", ["pause"])
    assert (running.current_step_index, running.total_steps) == (2, 3)
    assert (running.progress_percent, running.created_at) == (66, NOON + 2_000)
    done = await records.execution("acme", "e-3")
    assert done is not None
    assert (done.status, done.completion_reason, done.progress_percent) == (
        "COMPLETED", "finished", 100,
    )  # fmt: skip
    assert await records.execution("other", "e-2") is None


async def test_executions_of_a_workflow_are_listed_newest_first(
    records: PostgresExecutionRecords,
) -> None:
    assert await ids(records) == [["e-5", "e-4", "e-3", "e-2", "e-1", "e-0"]]
    assert await ids(records, limit=4) == [["e-5", "e-4", "e-3", "e-2"], ["e-1", "e-0"]]
    assert await ids(records, status="COMPLETED") == [["e-3"]]
    assert await ids(records, contact_id="bob") == [["e-5", "e-3", "e-1"]]
    assert await ids(records, contact_id="bob", status="PAUSED") == [["e-5", "e-1"]]


async def test_page_of_a_live_status_scans_a_bounded_number_of_executions(
    records: PostgresExecutionRecords,
) -> None:
    """Three in a page: e-5, e-4 and e-2, then e-1 and e-0."""
    assert await ids(records, status="ACTIVE") == [["e-2"], []]
    assert await ids(records, status="PAUSED") == [["e-5", "e-4"], ["e-1", "e-0"]]


async def test_log_and_answers_are_read(records: PostgresExecutionRecords) -> None:
    rows, total = await records.logs("acme", "e-0", 0, 9)
    assert ([row.event_type for row in rows], total) == (["execution_started", "wait_started"], 2)
    rows, total = await records.logs("acme", "e-0", 1, 9)
    assert ([row.event_type for row in rows], total) == (["wait_started"], 2)
    assert await records.logs("other", "e-0", 0, 9) == ([], 0)
    started = RequestAnswer("started", EnrollmentId("e-0"))
    assert await records.answers("acme", ["r-1", "r-2"]) == {"r-1": started}
    assert await records.answers("other", ["r-1"]) == {}


async def numbered(
    records: PostgresExecutionRecords, skip: int, **filters: str
) -> tuple[list[str], int]:
    """The ids of a page of two executions by its number, and the total."""
    page = await records.numbered("acme", "w-1", filters, PageRequest(2), skip)
    assert not page.is_estimate
    return [row.id for row in page.rows], page.total


async def test_pages_have_numbers_and_a_total(records: PostgresExecutionRecords) -> None:
    assert await numbered(records, 0) == (["e-5", "e-4"], 6)
    assert await numbered(records, 4) == (["e-1", "e-0"], 6)
    assert await numbered(records, 6) == ([], 6)
    assert await numbered(records, 0, status="COMPLETED") == (["e-3"], 1)
    assert await numbered(records, 2, status="PAUSED") == (["e-1", "e-0"], 4)
    assert await numbered(records, 2, contact_id="bob") == (["e-1"], 3)
    assert await numbered(records, 0, contact_id="bob", status="PAUSED") == (["e-5", "e-1"], 2)


# Plans

MANY = 20_000
LIMIT = 20
FILL = f"""
INSERT INTO goald.workflow_executions (tenant_id, id, contact_id, workflow_id, slot, version,
    status, state, step_id, step_index, total_steps, visit, attempt, retry_count, hops, zone, since,
    since_seq, migrates, used_event, created_at, completion_reason, ended_at)
SELECT 'acme', 'e-' || n, 'c-' || n, 'w-1', 3, 1, status, 'sleeping', 's', 1, 1, 1, 0, 0, 0, 'UTC',
    now(), 0, false, false, goald.at({NOON}), CASE WHEN ended THEN 'user' END,
    CASE WHEN ended THEN now() END
FROM generate_series(1, {MANY}) n
CROSS JOIN LATERAL (SELECT CASE WHEN n % 1000 = 0 THEN 'CANCELLED' ELSE 'PAUSED' END) AS s (status)
CROSS JOIN LATERAL (SELECT status = 'CANCELLED') AS e (ended)
"""
"""All started at one time, as in a campaign."""


async def rows_read(connection: Any, statement: str, *arguments: Any) -> float:
    explain = f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}"
    (found,) = json.loads(await connection.fetchval(explain, *arguments))
    rows: float = sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        for node in nodes(found["Plan"])
        if "Scan" in node["Node Type"] and "Relation Name" in node
    )
    return rows


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


async def test_lists_read_as_many_rows_as_they_return(database: Database) -> None:
    with psycopg.connect(database.admin_dsn) as admin:
        admin.execute(FILL.encode())
        admin.execute("ANALYZE goald.workflow_executions")
    connection = await asyncpg.connect(database.dsn, server_settings={"role": "goald_api"})
    async with connection.transaction():
        await connection.execute(SET_TENANT, "acme", "")
        await connection.execute(IN_ORDER)
        given = ["acme", "w-1", 0, 2 * NOON, NOON, "e-5", LIMIT]
        phases = ["live", "failed", "completed", "cancelled"]
        assert await rows_read(connection, statements.OF_WORKFLOW, *given, phases) <= 4 * LIMIT
        assert await rows_read(connection, statements.OF_WORKFLOW, *given, ["cancelled"]) <= LIMIT
        assert await rows_read(connection, statements.LIVE, *given, "QUEUED", 100) <= 200
        most = [*given[:6], 100]
        for of_phases in (statements.POSITION, statements.COUNT):
            assert await rows_read(connection, of_phases, *most, phases) <= 4 * 100
        assert await rows_read(connection, statements.LIVE_COUNT, *most, "QUEUED") <= 200
        assert await rows_read(connection, statements.LIVE_POSITION, *most, "PAUSED", 90) <= 200
    await connection.close()
