"""Monthly partitions are created ahead and dropped on time, and the audit log stays valid."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from tests.support.data.audit import achieve, add_workflow, configuring, tamper
from tests.support.pipeline.changes import Effect, change, goal_id
from tests.support.services.servers import Database

from goald import migrations
from goald.adapters.memory.clock import ManualClock
from goald.adapters.postgres import PostgresShardStore
from goald.adapters.postgres.partitions import PostgresMonths
from goald.adapters.postgres.records.audit_verification import read_chunks
from goald.domain.audit.entries import SavedHead
from goald.domain.audit.log import AuditVerification
from goald.domain.errors import ServiceUnavailable
from goald.domain.slots import SlotRange
from goald.ports.change import MissedEvent, MissedRun
from goald.ports.configuration import WorkflowKey
from goald.ports.shard_store import FIRST_MISSED
from goald.runtime.jobs import retention
from goald.runtime.jobs.retention import BETWEEN_SECONDS, EVERY_SECONDS, RETRY_SECONDS

KEEP_DAYS = 62
"""The last two months are within retention on any day; the month four months ago is not."""
OLD, YOUNG = (6, 5, 4), 2
TABLES = ("workflow_goal_achievements", "audit_log")
DEADLINE_S = 30.0

MAKE_OLD_MONTH = """
DO $$
DECLARE
    month timestamptz := date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
        - interval '{ago} months';
    name text := '{parent}' || to_char(month, '_YYYY_MM');
BEGIN
    SET LOCAL timezone = 'UTC';
    EXECUTE format('CREATE TABLE goald.%I (LIKE goald.{parent} INCLUDING ALL)', name);
    EXECUTE format('ALTER TABLE goald.{parent} ATTACH PARTITION goald.%I FOR VALUES FROM (%L)'
        ' TO (%L)', name, month, month + interval '1 month');
    EXECUTE format('ALTER TABLE goald.%I OWNER TO goald_owner', name);
END
$$
"""
ACHIEVED_THEN = """
INSERT INTO goald.workflow_goal_achievements (tenant_id, id, workflow_id,
    workflow_enrollment_id, contact_id, goal_config_id, goal_type, slot, achieved_at,
    recorded_at, trigger_event, metadata)
SELECT 'acme', gen_random_uuid(), 'w-1', %s, 'ann', gen_random_uuid(), 'tag_added', 3, at, at,
    '{}', '{}' FROM (SELECT now() - make_interval(months => %s)) AS of (at)
"""
# The trigger records the present time; this statement records a past time.
RECORD_THEN = """
WITH head AS (
    INSERT INTO goald.audit_heads AS h (writer, slot, number, hash) VALUES ('slots/0', 0, 1, '')
    ON CONFLICT (writer) DO UPDATE SET number = h.number + 1 RETURNING number, hash
), recorded AS (
    INSERT INTO goald.audit_log (writer, number, tenant_id, recorded_at, actor, action, subject,
        subject_id, hash)
    SELECT 'slots/0', number, 'acme', at, 'goald', 'goal.achieved', 'enrollment', %(id)s,
        goald.audit_link(NULL, hash, goald.audit_text('slots/0', number, 'acme', at, 'goald',
            'goal.achieved', 'enrollment', %(id)s, NULL, NULL, NULL))
    FROM head, (SELECT now() - make_interval(months => %(ago)s)) AS of (at) RETURNING hash
) SELECT hash FROM recorded
"""


def make_old_month(admin: psycopg.Connection[Any], ago: int) -> None:
    for parent in TABLES:
        admin.execute(MAKE_OLD_MONTH.format(parent=parent, ago=ago).encode())


def record(admin: psycopg.Connection[Any], enrollment: str, ago: int) -> None:
    """An achievement and its audit row, recorded `ago` months ago."""
    admin.execute("ALTER TABLE goald.workflow_goal_achievements DISABLE TRIGGER audit")
    admin.execute(ACHIEVED_THEN, (enrollment, ago))
    admin.execute("ALTER TABLE goald.workflow_goal_achievements ENABLE TRIGGER audit")
    row = admin.execute(RECORD_THEN, {"id": enrollment, "ago": ago}).fetchone()
    assert row is not None
    admin.execute("UPDATE goald.audit_heads SET hash = %s WHERE writer = 'slots/0'", row)


@pytest.fixture
def aged(database: Database) -> Database:
    """A database with rows in three old months, a recent month and this month, and rollups."""
    with psycopg.connect(database.admin_dsn) as admin:
        for ago in (*OLD, YOUNG):
            make_old_month(admin, ago)
            for n in range(3):
                record(admin, f"e-{ago}-{n}", ago)
        admin.execute(
            "INSERT INTO goald.workflow_enrollments (tenant_id, id, contact_id, workflow_id, slot,"
            " status, enrolled_at, ended_at, last_achieved_at, met_types) SELECT 'acme',"
            " 'e-6-' || n, 'ann', 'w-1', 3, 'completed_goal', now() - interval '6 months',"
            " now(), now(), 1 FROM generate_series(0, 2) AS n"
        )
    achieve(database, "e-0-0")
    with configuring(database) as connection:
        add_workflow(connection, "w-1")
    return database


def query(database: Database, statement: str) -> list[Any]:
    with psycopg.connect(database.admin_dsn) as admin:
        return admin.execute(statement.encode()).fetchall()


def months_of(database: Database, table: str) -> set[str]:
    found = query(
        database,
        f"SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'goald.{table}'"
        "::regclass",
    )
    return {name for (name,) in found}


def old_months(database: Database) -> int:
    """The number of partitions that are older than the retention."""
    ((count,),) = query(
        database,
        "SELECT count(*) FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid"
        f" WHERE inhparent IN ('goald.{TABLES[0]}'::regclass, 'goald.{TABLES[1]}'::regclass)"
        # Postgres may evaluate this first, also for partitions of other tables and indexes.
        " AND CASE WHEN c.relname ~ '_[0-9]{4}_[0-9]{2}$'"
        " THEN to_date(right(c.relname, 7), 'YYYY_MM') END + interval '1 month'"
        f" < (now() AT TIME ZONE 'UTC') - interval '{KEEP_DAYS} days'",
    )
    return int(count)


def findings(database: Database, kept: dict[str, SavedHead] | None = None) -> list[Any]:
    verification = AuditVerification(kept or {})
    return [
        (item.writer, item.kind, item.number)
        for chunk in read_chunks(database.dsn, 4)
        for item in verification.check(chunk)
    ]


class Job:
    """A running job whose clock the test moves."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock

    async def rest(self) -> None:
        """Wait until the job sleeps."""
        deadline = time.monotonic() + DEADLINE_S
        while not self._clock.sleepers:
            assert time.monotonic() < deadline, "the job does not become idle"
            await asyncio.sleep(0.005)

    async def until(self, is_so: Callable[[], bool], step_s: float = BETWEEN_SECONDS) -> None:
        """Advance the clock step by step until the condition holds."""
        deadline = time.monotonic() + DEADLINE_S
        await self.rest()
        while not is_so():
            assert time.monotonic() < deadline, "it does not come to be"
            await self._clock.advance(step_s)
            await self.rest()


@asynccontextmanager
async def job(database: Database) -> AsyncIterator[Job]:
    clock, keep = ManualClock(), retention.Keep(KEEP_DAYS, used_events=90, logs=KEEP_DAYS)
    of = retention.Retention(PostgresMonths(database.dsn), keep, clock)
    running = asyncio.create_task(of.run())
    try:
        yield Job(clock)
        assert not running.done()
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_old_months_are_dropped_and_young_ones_kept(aged: Database) -> None:
    kept = {table: len(months_of(aged, table)) - len(OLD) for table in TABLES}
    async with job(aged) as running:
        await running.until(lambda: old_months(aged) == 0)
    assert {table: len(months_of(aged, table)) for table in TABLES} == kept
    current = query(
        aged, "SELECT workflow_enrollment_id FROM goald.workflow_goal_achievements ORDER BY 1"
    )
    assert current == [("e-0-0",), ("e-2-0",), ("e-2-1",), ("e-2-2",)]


async def test_used_events_are_removed_when_they_are_old(database: Database) -> None:
    with psycopg.connect(database.admin_dsn, autocommit=True) as admin:
        admin.execute(
            "INSERT INTO goald.used_events SELECT 'acme', 'ann', 'w-1', gen_random_uuid(), 3,"
            " now(), n, now() - make_interval(days => 2 * n) FROM generate_series(1, 2000) n"
        )
    count = "SELECT count(*), max(number) FROM goald.used_events"
    async with job(database) as running:
        await running.until(lambda: query(database, count) == [(44, 44)])


async def test_used_events_are_kept_while_a_conversion_window_needs_them(
    database: Database,
) -> None:
    """At any number of events of one time."""
    with psycopg.connect(database.admin_dsn, autocommit=True) as admin:
        for tenant, days in (("acme", 300), ("other", 89), ("deleted", 300), ("third", None)):
            admin.execute(
                "INSERT INTO goald.workflows (tenant_id, id, name, config_version)"
                " VALUES (%s, 'w-1', 'W', 1)",
                [tenant],
            )
            admin.execute(
                "INSERT INTO goald.workflow_goals (tenant_id, id, workflow_id, position, goal_type,"
                " criteria, conversion_window, deleted_at) VALUES (%s, gen_random_uuid(), 'w-1', 0,"
                " 'tag_added', '{\"x\": 1}', %s, CASE WHEN %s = 'deleted' THEN now() END)",
                [tenant, days and days * 86_400, tenant],
            )
            admin.execute(
                "INSERT INTO goald.used_events SELECT %s, 'ann', 'w-1', gen_random_uuid(), 3,"
                " now(), n, now() - make_interval(days => n) FROM generate_series(1, 800) n",
                [tenant],
            )
        admin.execute(
            "INSERT INTO goald.used_events SELECT 'acme', 'bob', 'w-1', gen_random_uuid(), 3,"
            " now(), 0, now() - interval '91 days' FROM generate_series(1, 2500) n"
        )
    rows = "SELECT tenant_id, max(number) FROM goald.used_events GROUP BY 1 ORDER BY 1"
    async with job(database) as running:
        await running.until(
            lambda: (
                query(database, rows)
                == [("acme", 365), ("deleted", 89), ("other", 89), ("third", 89)]
            )
        )
    total = "SELECT count(*) FROM goald.used_events WHERE tenant_id = 'acme'"
    assert query(database, total) == [(365 + 2_500,)]


async def test_missed_events_are_removed_after_30_days(database: Database) -> None:
    """An event stays while an enrollment that missed it later has not been removed."""
    with psycopg.connect(database.admin_dsn, autocommit=True) as admin:
        admin.execute(
            "INSERT INTO goald.missed_events SELECT 'acme', 'ann', md5(n::text)::uuid, 3, '1-0',"
            " '', '{}', now() - make_interval(days => n) FROM generate_series(1, 2000) n"
        )
        admin.execute(
            "INSERT INTO goald.missed_runs SELECT 'acme', 'e-' || n, 'w-1', 'ann',"
            " CASE n WHEN 1 THEN md5('50')::uuid ELSE md5(n::text)::uuid END, 3,"
            " now() - make_interval(days => n) FROM generate_series(1, 2000) n"
        )
    oldest = "SELECT count(*), max(now() - missed_at) < interval '%s days' FROM goald.missed_%s"
    async with job(database) as running:
        await running.until(
            lambda: (
                query(database, oldest % (30, "runs")) == [(29, True)]
                and query(database, oldest % (51, "events")) == [(30, True)]
            )
        )


async def test_expired_missed_event_makes_room_for_the_next_before_it_is_removed(
    database: Database,
) -> None:
    store = PostgresShardStore(database.dsn)
    lease = await store.acquire(SlotRange(0, 255), "a")
    await store.commit(lease, change(Effect("e-1")))
    for event, days_ago in (("pay-1", 31), ("pay-2", 29), ("pay-3", 0)):
        missed = MissedEvent("acme", "ann", 3, goal_id(event), "1-0", event.encode())
        runs = [MissedRun(0, "w-1", "e-1")]
        await store.commit(lease, replace(change(), missed_events=[missed], missed_runs=runs))
        with psycopg.connect(database.admin_dsn, autocommit=True) as admin:
            admin.execute(
                "UPDATE goald.missed_runs SET missed_at = now() - make_interval(days => %s)"
                " WHERE event = %s",
                [days_ago, goal_id(event)],
            )
    page = await store.missed(lease, WorkflowKey("acme", "w-1"), FIRST_MISSED, 9, 1 << 20)
    await store.close()
    assert [entry.payload for entry in page.entries] == [b"pay-2"]


async def test_statistics_do_not_change_when_months_are_dropped(aged: Database) -> None:
    tables = ("workflow_days", "workflow_times_to_goal", "workflow_enrollments")
    before = [query(aged, f"SELECT * FROM goald.{table} ORDER BY 1, 2, 3") for table in tables]
    assert all(before)
    async with job(aged) as running:
        await running.until(lambda: old_months(aged) == 0)
    after = [query(aged, f"SELECT * FROM goald.{table} ORDER BY 1, 2, 3") for table in tables]
    assert after == before


async def test_log_is_intact_after_its_oldest_months_were_dropped(aged: Database) -> None:
    assert findings(aged) == []
    async with job(aged) as running:
        await running.until(lambda: old_months(aged) == 0)
    assert findings(aged) == []
    achieve(aged, "later")
    assert findings(aged) == []
    tamper(aged, "DELETE FROM goald.audit_log WHERE writer = 'slots/0' AND number = 10")
    assert findings(aged) == [("slots/0", "missing", 10)]


async def test_log_is_intact_while_months_are_dropped_under_the_verification(
    aged: Database,
) -> None:
    verification = AuditVerification({})
    found = []
    async with job(aged) as running:
        for number, chunk in enumerate(read_chunks(aged.dsn, 4)):
            found += list(verification.check(chunk))
            if number == 0:
                await running.until(lambda: old_months(aged) == 0)
    assert found == []


async def test_start_moved_past_rows_of_a_kept_month_is_found(aged: Database) -> None:
    """Rows of a month that still exists were not deleted by dropping a partition."""
    verification = AuditVerification({})
    assert not [item for chunk in read_chunks(aged.dsn) for item in verification.check(chunk)]
    tamper(
        aged,
        "INSERT INTO goald.audit_starts SELECT writer, number, hash FROM goald.audit_log"
        " WHERE writer = 'tenant/acme' AND number = 1",
        "DELETE FROM goald.audit_log WHERE writer = 'tenant/acme' AND number = 1",
    )
    with configuring(aged) as connection:
        add_workflow(connection, "w-2")
    tamper(
        aged,
        "UPDATE goald.audit_starts s SET number = l.number, hash = l.hash FROM goald.audit_log l"
        " WHERE s.writer = 'tenant/acme' AND l.writer = s.writer AND l.number = 2",
        "DELETE FROM goald.audit_log WHERE writer = 'tenant/acme' AND number = 2",
    )
    assert findings(aged) == []
    assert findings(aged, verification.heads) == [("tenant/acme", "lost", 1)]


async def test_saved_heads_in_a_dropped_month_cause_no_finding(aged: Database) -> None:
    at = query(aged, "SELECT goald.us(recorded_at) FROM goald.audit_log WHERE number = 2")[0][0]
    kept = {"slots/0": SavedHead(2, b"the hash of a dropped row", at)}
    async with job(aged) as running:
        await running.until(lambda: old_months(aged) == 0)
    assert findings(aged, kept) == []


async def test_rows_from_before_a_clock_step_are_dropped_with_the_month_after_them(
    database: Database,
) -> None:
    with psycopg.connect(database.admin_dsn) as admin:
        make_old_month(admin, 4)
        for enrollment, ago in (("e-1", 4), ("ahead", 0), ("e-3", 4), ("e-4", 0)):
            record(admin, enrollment, ago)
    async with job(database) as running:
        await running.until(lambda: old_months(database) == 0)
    assert findings(database) == []
    assert query(database, "SELECT subject_id FROM goald.audit_log") == [("e-4",)]


@pytest.fixture
def reader(aged: Database) -> Iterator[psycopg.Connection[Any]]:
    """A transaction that has read both tables, as a dump of the database does."""
    with psycopg.connect(aged.admin_dsn) as connection:
        for table in TABLES:
            connection.execute(f"SELECT count(*) FROM goald.{table}".encode())
        yield connection


async def test_table_in_use_is_dropped_later_and_commits_continue(
    aged: Database, reader: psycopg.Connection[Any]
) -> None:
    old = old_months(aged)
    async with job(aged) as running:
        await running.rest()
        achieve(aged, "meanwhile")
        assert old_months(aged) == old
        reader.rollback()
        await running.until(lambda: old_months(aged) < old, step_s=RETRY_SECONDS)


async def test_waiting_drop_is_cancelled_before_it_delays_commits(
    aged: Database, reader: psycopg.Connection[Any]
) -> None:
    """The commit waits for the drop, which waits for a long reader."""
    months = PostgresMonths(aged.dsn)
    dropping = asyncio.create_task(months.drop_oldest(KEEP_DAYS))
    await asyncio.to_thread(achieve, aged, "meanwhile")
    with pytest.raises(ServiceUnavailable, match="another transaction uses the table"):
        await dropping
    await months.close()


async def test_two_concurrent_jobs_drop_each_month_once(aged: Database) -> None:
    old = old_months(aged)
    item, other = PostgresMonths(aged.dsn), PostgresMonths(aged.dsn)

    async def drop_all(months: PostgresMonths) -> list[str]:
        dropped = []
        while old_months(aged):
            if table := await months.drop_oldest(KEEP_DAYS):
                dropped.append(table)
        await months.close()
        return dropped

    async with asyncio.timeout(DEADLINE_S):
        first, second = await asyncio.gather(drop_all(item), drop_all(other))
    assert len(first) + len(second) == len({*first, *second}) == old


async def test_months_are_created_ahead(database: Database) -> None:
    whole = {table: months_of(database, table) for table in TABLES}
    with psycopg.connect(database.admin_dsn) as admin:
        for table in TABLES:
            admin.execute(f"DROP TABLE {max(whole[table])}".encode())
    async with job(database) as running:
        await running.until(
            lambda: {table: months_of(database, table) for table in TABLES} == whole
        )
        with psycopg.connect(database.admin_dsn) as admin:
            admin.execute(f"DROP TABLE {max(whole['audit_log'])}".encode())
        await running.until(
            lambda: months_of(database, "audit_log") == whole["audit_log"], step_s=EVERY_SECONDS
        )


async def test_job_continues_while_the_database_is_not_ready(empty_database: Database) -> None:
    async with job(empty_database) as running:
        await running.rest()
        await asyncio.to_thread(migrations.upgrade, empty_database.dsn)
        with psycopg.connect(empty_database.admin_dsn) as admin:
            make_old_month(admin, 4)
        await running.until(lambda: old_months(empty_database) == 0, step_s=RETRY_SECONDS)


@pytest.mark.parametrize("keep", ["30 days", "0 days"])
def test_no_role_can_drop_a_month_younger_than_a_month(aged: Database, keep: str) -> None:
    with psycopg.connect(aged.dsn) as connection:
        connection.execute("SET ROLE goald_shard")
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            connection.execute("SELECT goald.drop_month(%s::interval)", (keep,))


def test_api_cannot_drop_a_month(aged: Database) -> None:
    with psycopg.connect(aged.dsn) as connection:
        connection.execute("SET ROLE goald_api")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT goald.drop_month('731 days')")
