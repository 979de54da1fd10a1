"""The plans of a commit's statements, created on empty tables and cached while they grow."""

import re
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from tests.support.services.servers import Database

from goald.adapters.postgres.connection import WRITER_SETTINGS
from goald.adapters.postgres.session_statements import begin_for
from goald.adapters.postgres.shard import outbox_statements, statements
from goald.adapters.postgres.shard.executions import statements as executions
from goald.domain.slots import SlotRange


@pytest.fixture
async def writer(database: Database) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(
        database.dsn, server_settings={"role": "goald_shard", **WRITER_SETTINGS}
    )
    await connection.execute(begin_for(SlotRange(0, 127)))
    yield connection
    await connection.close()


async def plan(connection: Any, statement: str) -> str:
    types = re.findall(r"\$\d+::(\w+\[\])", statement)
    await connection.execute(f"PREPARE one ({', '.join(types)}) AS {statement}")
    nothing = ", ".join("'{}'" for _ in types)
    return "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN EXECUTE one ({nothing})"))


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("UPDATE_ENROLLMENTS", "workflow_enrollments_pkey"),
        ("EXISTING_ENROLLMENTS", "workflow_enrollments_pkey"),
        ("ACKNOWLEDGE_EXITS", "workflow_enrollments_pkey"),
        ("MARK_PUBLISHED", "outbox_pkey"),
    ],
)
async def test_rows_are_found_by_their_key(writer: Any, name: str, index: str) -> None:
    module = outbox_statements if index.startswith("outbox") else statements
    found = await plan(writer, getattr(module, name))
    assert set(re.findall(r"(?:workflow_enrollments|outbox)_\w+", found)) == {index}
    assert "Seq Scan" not in found


async def test_executions_are_found_by_their_key(writer: Any) -> None:
    """Also the contacts' executions, through the index of their active enrollments."""
    of = executions
    for statement in (of.UPDATE, of.MATCHING, of.ENTER, of.USED, of.JOBS, of.LOAD_CONTACTS):
        found = await plan(writer, statement)
        await writer.execute("DEALLOCATE one")
        assert set(re.findall(r"workflow_executions_\w+", found)) == {"workflow_executions_pkey"}
        assert "Seq Scan" not in found
