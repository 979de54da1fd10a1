"""Prints the plans of the statements of executions, as a shard and the API execute them."""

import re
from typing import Any

import asyncpg

from goald.adapters.postgres.connection import WRITER_SETTINGS
from goald.adapters.postgres.records.executions import statements as records
from goald.adapters.postgres.records.statements import IN_ORDER
from goald.adapters.postgres.session_statements import begin_for
from goald.adapters.postgres.shard.executions import statements
from goald.domain.slots import SlotRange

LAST_US = 4_000_000_000_000_000
BEGIN = begin_for(SlotRange(0, 255))
KEYS = 200
"""The executions that a statement reads or writes."""
VALUES = {
    "tenant_id": "tenant_id", "id": "id", "execution_id": "id", "contact_id": "contact_id",
    "workflow_id": "workflow_id", "slot": "slot", "version": "version", "status": "status",
    "state": "state", "step_id": "step_id", "step_index": "step_index",
    "total_steps": "total_steps", "visit": "visit", "attempt": "attempt",
    "retry_count": "retry_count", "zone": "zone", "done_steps": "''", "used_events": "'{}'",
    "migrates": "migrates", "used_event": "used_event", "since": "0", "since_seq": "0",
    "guard_step": "step_id", "guard_visit": "visit", "guard_attempt": "attempt",
    "guard_state": "state", "event": "md5('event')", "hops": "hops", "started_at": "0",
    "request": "id", "answer": "'started'", "event_type": "'wait_started'", "at": "0",
}  # fmt: skip
NAMES = (
    "INSERT", "MATCHING", "UPDATE", "ENTER", "LOG", "ANSWER", "LOAD_CONTACTS", "STARTS", "USED",
    "JOBS",
)  # fmt: skip
RANGES = ("LOAD", "USED_PLANS")


async def explain(dsn: str, admin: Any) -> None:
    """Execute each statement once, and print its plan. The changes are rolled back."""
    settings = {"role": "goald_shard", **WRITER_SETTINGS}
    connection = await asyncpg.connect(dsn, server_settings=settings)
    for name in NAMES:
        statement = getattr(statements, name)
        columns = await admin.fetchrow(f"SELECT {_arrays(statement)} FROM ({_SAMPLE}) AS s")
        types = ", ".join(re.findall(r"\$\d+::(\w+\[\])", statement))
        arguments = ", ".join(_literal(value) for value in columns)
        await _print(connection, name, f"({types}) AS {statement}", arguments)
    for name in RANGES:
        await _print(connection, name, f"(int2, int2) AS {getattr(statements, name)}", "0, 255")
    await connection.close()
    await _explain_records(dsn)


async def _explain_records(dsn: str) -> None:
    """As the API executes them, for one workflow."""
    connection = await asyncpg.connect(dsn, server_settings={"role": "goald_api"})
    span = f"'tenant-1', 'workflow-1', 0, {LAST_US}, {LAST_US}, '', 51"
    given = (
        ("OF_WORKFLOW", "text, text, int8, int8, int8, text, int8, text[]",
         span + ", '{live,failed,completed,cancelled}'"),
        ("LIVE", "text, text, int8, int8, int8, text, int8, text, int8",
         span + ", 'QUEUED', 10000"),
        ("OF_CONTACT", "text, text, int8, int8, int8, text, int8, text, text[]",
         span + ", 'contact-000000000001', '{PAUSED,COMPLETED}'"),
        ("BY_ID", "text, text", "'tenant-1', 'bench-000000000001-0000-5000-8000'"),
        ("LOGS", "text, text, int8, int8",
         "'tenant-1', 'bench-000000000001-0000-5000-8000', 0, 50"),
        ("COUNT_LOGS", "text, text", "'tenant-1', 'bench-000000000001-0000-5000-8000'"),
    )  # fmt: skip
    for name, types, arguments in given:
        begin = "BEGIN; SELECT set_config('goald.tenant', 'tenant-1', true)"
        if name in ("OF_WORKFLOW", "LIVE"):
            begin += f"; {IN_ORDER}"
        prepared = f"({types}) AS {getattr(records, name)}"
        await _print(connection, name, prepared, arguments, begin)
    await connection.close()


_SAMPLE = f"SELECT * FROM goald.workflow_executions WHERE ended_at IS NULL LIMIT {KEYS}"


async def _print(
    connection: Any, name: str, prepared: str, arguments: str, begin: str = BEGIN
) -> None:
    await connection.execute(begin)
    await connection.execute(f"PREPARE one {prepared}")
    rows = await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS) EXECUTE one ({arguments})")
    await connection.execute("ROLLBACK")
    await connection.execute("DEALLOCATE one")
    print(f"\n{name}")
    for (line,) in rows:
        print(f"    {line[:150]}")


def _arrays(statement: str) -> str:
    """For each parameter, an array of values from the sample."""
    types = re.findall(r"\$\d+::(\w+)\[\]", statement)
    names = re.search(r"AS (?:n|requested)\s*\(([^)]*)\)", statement)
    columns = [name.strip() for name in (names.group(1) if names else "").split(",")]
    return ", ".join(
        f"array_agg(({VALUES.get(column, 'NULL')})::{of})::text"
        for column, of in zip(columns, types, strict=False)
    )


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
