"""The rollups that each commit maintains: counts, locks and visibility."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg
import psycopg
import pytest
from tests.support.data.recount import recomputed_rollups, stored_rollups
from tests.support.pipeline.changes import NOON, SECOND, Effect, change
from tests.support.services.servers import Database

from goald import migrations
from goald.adapters.postgres import PostgresShardStore
from goald.adapters.postgres.connection import WRITER_SETTINGS
from goald.adapters.postgres.session_statements import begin_for
from goald.domain.configuration.goals import TYPE_BITS
from goald.domain.slots import SlotRange

LOW, HIGH = SlotRange(0, 127), SlotRange(128, 255)
ENROLL = """
INSERT INTO goald.workflow_enrollments
    (tenant_id, id, contact_id, workflow_id, slot, status, enrolled_at)
SELECT 'acme', $1 || n, 'ann', 'w-' || n % 7, $2, 'active',
       timestamptz '2026-03-01' + n % 5 * interval '1 day'
FROM generate_series(1, $3::int) n
"""
COMPLETE = """
UPDATE goald.workflow_enrollments
SET status = 'completed_goal', ended_at = now(), last_achieved_at = now(), met_types = 1
WHERE tenant_id = 'acme' AND id LIKE $1 || '%'
"""
WAIT_S = 20.0


@pytest.fixture
async def admin(database: Database) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(database.admin_dsn)
    yield connection
    await connection.close()


async def shard(database: Database, slots: SlotRange) -> Any:
    """A connection with a shard's settings, in an open transaction."""
    connection = await asyncpg.connect(
        database.dsn,
        server_settings={"role": "goald_shard", **WRITER_SETTINGS},
        command_timeout=WAIT_S,
    )
    await connection.execute(begin_for(slots))
    return connection


# Counts


async def test_row_changed_by_hand_is_counted_too(database: Database, admin: Any) -> None:
    await admin.execute(ENROLL, "e-", 3, 20)
    await admin.execute(COMPLETE, "e-1")
    await admin.execute("UPDATE goald.workflow_enrollments SET cancelled_actions = 3")
    await admin.execute("UPDATE goald.workflow_enrollments SET cancelled_actions = 1")
    assert await stored_rollups(admin) == await moved_to_achievements(admin)


async def moved_to_achievements(admin: Any) -> Any:
    """The counts over the tables, once every completed enrollment has its achievement."""
    await admin.execute(
        "INSERT INTO goald.workflow_goal_achievements (tenant_id, id, workflow_id,"
        " workflow_enrollment_id, contact_id, goal_config_id, goal_type, slot, achieved_at,"
        " trigger_event, metadata) SELECT tenant_id, gen_random_uuid(), workflow_id, id,"
        " contact_id, gen_random_uuid(), 'tag_added', slot, last_achieved_at, '{}', '{}'"
        " FROM goald.workflow_enrollments WHERE met_types = 1"
    )
    return await recomputed_rollups(admin)


async def test_statement_that_changes_no_row_counts_nothing(database: Database, admin: Any) -> None:
    store = PostgresShardStore(database.dsn)
    lease = await store.acquire(LOW, "a")
    await store.commit(lease, change(Effect("e-1", is_new=False, status="exited", ended_at=NOON)))
    await store.commit(lease, change(acknowledgements=[("acme", "e", "ann", "w", 3, 1, NOON)]))
    await store.close()
    assert await admin.fetchval("SELECT count(*) FROM goald.workflow_days") == 0


async def test_counts_of_one_commit_are_added_to_those_before(
    database: Database, admin: Any
) -> None:
    store = PostgresShardStore(database.dsn)
    lease = await store.acquire(LOW, "a")
    await store.commit(lease, change(*(Effect(f"e-{number}") for number in range(4))))
    met: dict[str, Any] = {
        "status": "completed_goal",
        "ended_at": NOON,
        "achieves": ["g"],
        "met_goals": ["g"],
    }
    for number in range(3):
        effect = Effect(f"e-{number}", is_new=False, **met)
        await store.commit(lease, change(effect))
    await store.close()
    (counts,) = (await stored_rollups(admin)).days.values()
    assert (counts["enrolled"], counts["completed_goal"], counts["tag_added"]) == (4, 3, 3)
    rows = await admin.fetch("SELECT days, enrollments FROM goald.workflow_times_to_goal")
    assert sorted(map(tuple, rows)) == [(1, 3), (7, 3)]


async def test_achievement_before_its_enrollment_took_no_time(
    database: Database, admin: Any
) -> None:
    """Clocks differ. A negative time must not reduce the sum of the others."""
    store = PostgresShardStore(database.dsn)
    lease = await store.acquire(LOW, "a")
    met: dict[str, Any] = {
        "status": "completed_goal",
        "ended_at": NOON,
        "achieves": ["g"],
        "met_goals": ["g"],
    }
    await store.commit(
        lease,
        change(
            Effect("e-1", achieved_at=NOON - 60 * SECOND, **met),
            Effect("e-2", achieved_at=NOON + 60 * SECOND, **met),
        ),
    )
    await store.close()
    assert await admin.fetchval("SELECT time_to_goal FROM goald.workflow_days") == 60 * SECOND
    assert await stored_rollups(admin) == await recomputed_rollups(admin)


async def test_goals_met_after_the_end_change_no_other_count(
    database: Database, admin: Any
) -> None:
    store = PostgresShardStore(database.dsn)
    lease = await store.acquire(LOW, "a")
    ended = [Effect(f"e-{n}", status="exited", ended_at=NOON + SECOND) for n in range(3)]
    await store.commit(lease, change(*ended))
    before = await stored_rollups(admin)
    late = {"is_new": False, "after_end": True, "met_goals": ["g"], "achieves": ["g"]}
    await store.commit(
        lease,
        change(Effect("e-0", ended_at=NOON + SECOND, **late), Effect("e-1", **late)),  # type: ignore[arg-type]
    )
    await store.close()
    [key] = before.days
    assert (await stored_rollups(admin)).days == {key: {**before.days[key], "met_after_end": 1}}
    assert await stored_rollups(admin) == await recomputed_rollups(admin)


async def test_bits_of_the_types_are_the_same_in_python_and_sql(
    database: Database, admin: Any
) -> None:
    rows = await admin.fetch(
        "SELECT name, goald.goal_type_bit(name) FROM unnest($1::text[]) name", list(TYPE_BITS)
    )
    assert dict(rows) == TYPE_BITS
    assert await admin.fetchval("SELECT goald.goal_type_bit('another')") == 0


async def test_rows_from_before_the_upgrade_are_counted(empty_database: Database) -> None:
    migrations.upgrade(empty_database.dsn, "0005")
    admin = await asyncpg.connect(empty_database.admin_dsn)
    try:
        await admin.execute(ENROLL, "e-", 3, 300)
        await admin.execute(
            "UPDATE goald.workflow_enrollments SET status = 'completed_goal',"
            " ended_at = enrolled_at + interval '9 days', met_goals = ARRAY[gen_random_uuid()],"
            " exit_acknowledged_at = now(), cancelled_actions = 2 WHERE id LIKE 'e-1%'"
        )
        await admin.execute(
            "UPDATE goald.workflow_enrollments SET status = 'exited', ended_at = now()"
            " WHERE id LIKE 'e-2%'"
        )
        # One or two achievements each, of several types; some enrollments meet no goal.
        await admin.execute(
            "INSERT INTO goald.workflow_goal_achievements (tenant_id, id, workflow_id,"
            " workflow_enrollment_id, contact_id, goal_config_id, goal_type, slot, achieved_at,"
            " trigger_event, metadata) SELECT tenant_id, gen_random_uuid(), workflow_id, id,"
            " contact_id, gen_random_uuid(), goal_type, slot, enrolled_at + took, '{}', '{}'"
            " FROM goald.workflow_enrollments, (VALUES ('tag_added', interval '-1 second'),"
            " ('purchase_made', interval '2 days'), ('form_submitted', interval '9 days'))"
            " AS a (goal_type, took)"
            " WHERE id LIKE 'e-1%' AND length(id) > 3 OR id LIKE 'e-3%' AND took > '1 day'"
        )
        assert migrations.upgrade(empty_database.dsn, "head")[0] == "0006"
        counted = await stored_rollups(admin)
        assert counted.days
        assert counted == await recomputed_rollups(admin)
        # Later changes update the migrated rollups.
        await admin.execute("UPDATE goald.workflow_enrollments SET cancelled_actions = 5")
        assert await stored_rollups(admin) == await recomputed_rollups(admin)
    finally:
        await admin.close()


# Locks


async def test_shards_that_count_the_same_workflow_never_wait_for_each_other(
    database: Database, admin: Any
) -> None:
    await admin.execute(ENROLL, "low-", 3, 70)
    await admin.execute(ENROLL, "high-", 200, 70)
    low, high = await shard(database, LOW), await shard(database, HIGH)
    try:
        # Each transaction holds a lock that the other would need; all stay open.
        for turn in range(2):
            await low.execute(COMPLETE, "low-1")
            await high.execute(COMPLETE, "high-1")
            await high.execute(ENROLL, f"high-new-{turn}-", 200, 70)
            await low.execute(ENROLL, f"low-new-{turn}-", 3, 70)
        await asyncio.gather(low.execute("COMMIT"), high.execute("COMMIT"))
    finally:
        await low.close()
        await high.close()
    assert await stored_rollups(admin) == await moved_to_achievements(admin)


# Access


@contextmanager
def acting_as(dsn: str, role: str, **settings: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(dsn) as connection:
        connection.execute(f"SET ROLE {role}".encode())
        for name, value in settings.items():
            connection.execute("SELECT set_config(%s, %s, true)", (f"goald.{name}", value))
        yield connection
        connection.rollback()


@pytest.fixture
async def counted(database: Database, admin: Any) -> Database:
    """Two tenants with rows in both rollups, in buckets 0 and 128."""
    await admin.execute(ENROLL, "e-", 3, 1)
    await admin.execute(COMPLETE, "e-")
    for table in ("workflow_days", "workflow_times_to_goal"):
        await admin.execute(
            f"CREATE TEMPORARY TABLE copy AS SELECT * FROM goald.{table};"
            "UPDATE copy SET tenant_id = 'other', bucket = 128;"
            f"INSERT INTO goald.{table} SELECT * FROM copy; DROP TABLE copy"
        )
    return database


@pytest.mark.parametrize("table", ["workflow_days", "workflow_times_to_goal"])
def test_counts_are_visible_only_to_their_tenant_and_shard(counted: Database, table: str) -> None:
    query = f"SELECT DISTINCT tenant_id FROM goald.{table}".encode()
    for role, settings, seen in (
        ("goald_api", {"tenant": "acme"}, [("acme",)]),
        ("goald_api", {}, []),
        ("goald_shard", {"slots": "128-255"}, [("other",)]),
        ("goald_owner", {}, []),
    ):
        with acting_as(counted.dsn, role, **settings) as connection:
            assert connection.execute(query).fetchall() == seen
    with (
        acting_as(counted.dsn, "goald_shard") as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match=r"goald\.slots is not set"),
    ):
        connection.execute(query)


@pytest.mark.parametrize(
    ("role", "settings", "statement"),
    [
        ("goald_api", {"tenant": "acme"}, "UPDATE goald.workflow_days SET enrolled = 0"),
        ("goald_api", {"tenant": "acme"}, "DELETE FROM goald.workflow_times_to_goal"),
        ("goald_shard", {"slots": "0-127"}, "DELETE FROM goald.workflow_days"),
        (
            "goald_shard",
            {"slots": "0-127"},
            "INSERT INTO goald.workflow_times_to_goal"
            " VALUES ('acme', 'w', 1, '2026-01-01', 128, 1, 1)",
        ),
    ],
)
def test_only_a_shard_writes_its_own_counts(
    counted: Database, role: str, settings: dict[str, str], statement: str
) -> None:
    with (
        acting_as(counted.dsn, role, **settings) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement.encode())
