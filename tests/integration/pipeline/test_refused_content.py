"""Distinguishes rows that Postgres refuses because of their content from other errors (D4, D6)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import asyncpg
import pytest
from tests.support.pipeline.changes import Effect, change
from tests.support.pipeline.in_memory_pipeline import InMemoryPipeline
from tests.support.services.servers import Database

from goald.adapters.postgres import PostgresShardStore
from goald.domain.errors import CommitUnknown, ContentRefused
from goald.domain.records.enrollment import EnrollmentStatus
from goald.domain.slots import SlotRange

ALL = SlotRange(0, 255)


@pytest.fixture
async def store(database: Database) -> AsyncIterator[PostgresShardStore]:
    store = PostgresShardStore(database.dsn)
    yield store
    await store.close()


@pytest.fixture
async def admin(database: Database) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(database.admin_dsn)
    yield connection
    await connection.close()


@pytest.mark.parametrize(
    ("effect", "state"),
    [
        (Effect("e-1", contact_id="nul\0"), "22021"),
        (Effect("e-1", status=cast(EnrollmentStatus, "no status")), "23514"),
        (Effect("e-1", pending_actions=1 << 70), "22000"),
        (Effect("e-1", contact_id="lone \ud800"), "22000"),
    ],
)
async def test_a_value_that_a_column_cannot_store_is_refused(
    store: PostgresShardStore, effect: Effect, state: str
) -> None:
    lease = await store.acquire(ALL, "a")
    with pytest.raises(ContentRefused, match=state):
        await store.commit(lease, change(effect))
    assert (await store.commit(lease, change(Effect("e-2")))).effective == b"\1"


async def test_a_deferred_constraint_refuses_the_content_at_commit(
    store: PostgresShardStore, admin: Any
) -> None:
    lease = await store.acquire(ALL, "a")
    await admin.execute(
        "CREATE TABLE goald.known (tenant_id text PRIMARY KEY);"
        "GRANT SELECT ON goald.known TO goald_shard;"
        "ALTER TABLE goald.workflow_enrollments ADD FOREIGN KEY (tenant_id)"
        " REFERENCES goald.known DEFERRABLE INITIALLY DEFERRED"
    )
    with pytest.raises(ContentRefused, match="23503"):
        await store.commit(lease, change(Effect("e-1")))
    assert await admin.fetchval("SELECT count(*) FROM goald.workflow_enrollments") == 0
    await admin.execute("INSERT INTO goald.known VALUES ('acme')")
    assert (await store.commit(lease, change(Effect("e-1")))).effective == b"\1"


async def test_a_missing_partition_is_not_a_fault_of_the_content(
    store: PostgresShardStore, admin: Any
) -> None:
    lease = await store.acquire(ALL, "a")
    month = await admin.fetchval("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM')")
    await admin.execute(f"DROP TABLE goald.workflow_goal_achievements_{month}")
    with pytest.raises(CommitUnknown):
        await store.commit(lease, change(Effect("e-1", achieves=["g"])))


async def test_a_read_only_server_is_not_a_fault_of_the_content(
    store: PostgresShardStore, admin: Any, database: Database
) -> None:
    lease = await store.acquire(ALL, "a")
    name = await admin.fetchval("SELECT current_database()")
    await admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await admin.fetch(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    for _ in range(2):
        with pytest.raises(CommitUnknown):
            await store.commit(lease, change(Effect("e-1")))
    await admin.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")


async def test_a_row_that_a_constraint_refuses_is_dead_lettered_and_its_batch_is_committed(
    store: PostgresShardStore, admin: Any
) -> None:
    await admin.execute(
        "ALTER TABLE goald.workflow_enrollments ADD CHECK (contact_id NOT IN ('c-3', 'c-31'))"
    )
    pipeline = InMemoryPipeline()
    # Replaces the store in memory.
    pipeline.store = store  # type: ignore[assignment]
    contacts = [f"c-{number}" for number in range(40)]
    for contact in contacts:
        await pipeline.enroll(f"e-{contact}", contact)
    shard = pipeline.shard()
    consumer = pipeline.consumer(shard)
    tasks = [asyncio.ensure_future(process.run()) for process in (shard, consumer)]
    try:
        await pipeline.all_acknowledged()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    rows = await admin.fetch("SELECT contact_id FROM goald.workflow_enrollments")
    assert sorted(row["contact_id"] for row in rows) == sorted(set(contacts) - {"c-3", "c-31"})
    assert len(pipeline.dead_letters) == 2
    assert all(
        dead[b"reason"].startswith(b"Postgres refuses it: 23514") for dead in pipeline.dead_letters
    )
