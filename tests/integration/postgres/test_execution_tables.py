"""The tables of executions: row security, privileges, and retention."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
import pytest
from tests.support.services.servers import Database

from goald.adapters.memory.clock import ManualClock
from goald.adapters.postgres.partitions import PostgresMonths
from goald.runtime.jobs.retention import BETWEEN_SECONDS, Keep, Retention

TABLES = ("workflow_executions", "workflow_entries", "execution_logs", "execution_answers")
READ_BY_API = ("workflow_executions", "execution_logs", "execution_answers")
LOG_DAYS = 31
DEADLINE_S = 30.0
FILL = (
    "INSERT INTO goald.workflows (tenant_id, id, name, config_version)"
    " VALUES (%(tenant)s, 'w', 'W', 1)",
    "INSERT INTO goald.workflow_definitions (tenant_id, workflow_id, version, document, digest,"
    " revision) VALUES (%(tenant)s, 'w', 1, '{}', sha256(''), 1)",
    "INSERT INTO goald.workflow_executions (tenant_id, id, contact_id, workflow_id, slot, version,"
    " status, state, step_id, step_index, total_steps, visit, attempt, retry_count, hops, zone,"
    " since, since_seq, migrates, used_event, created_at) VALUES (%(tenant)s, 'e', 'ann', 'w',"
    " %(slot)s, 1, 'PAUSED', 'sleeping', 's', 1, 1, 1, 0, 0, 0, 'UTC', now(), 0, false, false,"
    " now())",
    "INSERT INTO goald.workflow_entries VALUES (%(tenant)s, 'ann', 'w', %(slot)s, now())",
    "INSERT INTO goald.execution_logs (tenant_id, execution_id, slot, event_type, at, attempt)"
    " VALUES (%(tenant)s, 'e', %(slot)s, 'wait_started', now(), 0)",
    "INSERT INTO goald.execution_answers (tenant_id, request, slot, answer)"
    " VALUES (%(tenant)s, 'r', %(slot)s, 'started')",
)


@pytest.fixture
def filled(database: Database) -> Database:
    """Two tenants with a row in each table, in slots 1 and 200."""
    with psycopg.connect(database.admin_dsn) as admin:
        for tenant, slot in (("acme", 1), ("other", 200)):
            for statement in FILL:
                admin.execute(statement.encode(), {"tenant": tenant, "slot": slot})
    return database


@contextmanager
def acting_as(dsn: str, role: str, **settings: str) -> Iterator[psycopg.Connection[Any]]:
    """Yields a connection in a transaction under a role, which is rolled back."""
    with psycopg.connect(dsn) as connection:
        connection.execute(f"SET ROLE {role}".encode())
        for name, value in settings.items():
            connection.execute("SELECT set_config(%s, %s, true)", (f"goald.{name}", value))
        yield connection
        connection.rollback()


def select(connection: psycopg.Connection[Any], column: str, table: str) -> list[Any]:
    return connection.execute(f"SELECT {column} FROM goald.{table}".encode()).fetchall()


def test_shard_sees_only_its_slots_and_nothing_without_them(filled: Database) -> None:
    with acting_as(filled.dsn, "goald_shard", slots="0-127") as shard:
        assert {table: select(shard, "slot", table) for table in TABLES} == {
            table: [(1,)] for table in TABLES
        }
    for table in TABLES:
        with (
            acting_as(filled.dsn, "goald_shard") as shard,
            pytest.raises(psycopg.errors.InsufficientPrivilege, match=r"goald\.slots is not set"),
        ):
            select(shard, "slot", table)


def test_api_sees_only_its_tenant_and_nothing_without_one(filled: Database) -> None:
    for settings, rows in (({"tenant": "acme"}, [("acme",)]), ({}, [])):
        with acting_as(filled.dsn, "goald_api", **settings) as api:
            assert {
                table: select(api, "tenant_id", table) for table in READ_BY_API
            } == dict.fromkeys(READ_BY_API, rows)


def test_owner_sees_no_rows_of_tenants(filled: Database) -> None:
    with acting_as(filled.dsn, "goald_owner") as owner:
        assert [select(owner, "*", table) for table in TABLES] == [[]] * len(TABLES)


def test_shard_reads_the_plans_of_all_tenants(filled: Database) -> None:
    """An execution is pinned to its version."""
    with acting_as(filled.dsn, "goald_shard", slots="0-127") as shard:
        rows = select(shard, "tenant_id, version, plan", "workflow_definitions")
    assert sorted(rows) == [("acme", 1, None), ("other", 1, None)]


SHARD, API = ("goald_shard", {"slots": "0-127"}), ("goald_api", {"tenant": "acme"})


FORBIDDEN: tuple[tuple[tuple[str, dict[str, str]], str], ...] = (
    (SHARD, "DELETE FROM goald.workflow_executions"),
    (SHARD, "UPDATE goald.workflow_executions SET workflow_id = 'b'"),
    (SHARD, "UPDATE goald.workflow_executions SET slot = 200"),
    (SHARD, "DELETE FROM goald.execution_logs"),
    (SHARD, "UPDATE goald.execution_logs SET message = 'x'"),
    (SHARD, "UPDATE goald.execution_answers SET answer = 'x'"),
    (SHARD, "SELECT document FROM goald.workflow_definitions"),
    (SHARD, "UPDATE goald.workflow_definitions SET plan = NULL"),
    (SHARD, "INSERT INTO goald.workflow_entries VALUES ('acme', 'bob', 'w', 200, now())"),
    (("goald_shard", {}), "SELECT plan FROM goald.workflow_definitions"),
    (API, "SELECT * FROM goald.workflow_entries"),
    (API, "UPDATE goald.workflow_executions SET status = 'QUEUED'"),
    (API, "DELETE FROM goald.execution_answers"),
    (API, "SELECT goald.drop_log_month('9 years')"),
)


def test_roles_have_only_the_privileges_that_they_need(filled: Database) -> None:
    allowed = []
    for (role, settings), statement in FORBIDDEN:
        with acting_as(filled.dsn, role, **settings) as connection:
            try:
                connection.execute(statement.encode())
            except psycopg.errors.InsufficientPrivilege:
                continue
            allowed.append((role, statement))
    assert allowed == []


# Retention

OLD_MONTH = """
DO $$
DECLARE
    month timestamptz := date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
        - interval '{ago} months';
    name text := 'execution_logs' || to_char(month, '_YYYY_MM');
BEGIN
    SET LOCAL timezone = 'UTC';
    EXECUTE format('CREATE TABLE IF NOT EXISTS goald.%I'
        ' (LIKE goald.execution_logs INCLUDING ALL)', name);
    IF NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = ('goald.' || name)::regclass) THEN
        EXECUTE format('ALTER TABLE goald.execution_logs ATTACH PARTITION goald.%I'
            ' FOR VALUES FROM (%L) TO (%L)', name, month, month + interval '1 month');
        EXECUTE format('ALTER TABLE goald.%I OWNER TO goald_owner', name);
    END IF;
    EXECUTE format('INSERT INTO goald.execution_logs (tenant_id, execution_id, slot, event_type,'
        ' at, attempt, recorded_at) VALUES (''acme'', ''e-{ago}'', 1, ''x'', now(), 0, %L)', month);
END
$$
"""
"""A month of the log, with one row."""


async def test_old_logs_and_answers_are_removed(database: Database) -> None:
    """The retention of the log is shorter than that of achievements."""
    with psycopg.connect(database.admin_dsn, autocommit=True) as admin:
        for ago in (5, 3, 0):
            admin.execute(OLD_MONTH.format(ago=ago).encode())
        admin.execute(
            "INSERT INTO goald.execution_answers SELECT 'acme', n::text, 1, 'started', NULL,"
            " now() - n * interval '1 minute' FROM generate_series(1, 2000) n"
        )

    def remaining() -> tuple[list[Any], Any]:
        with psycopg.connect(database.admin_dsn) as admin:
            answers = admin.execute("SELECT count(*) FROM goald.execution_answers").fetchone()
            return sorted(select(admin, "execution_id", "execution_logs")), answers

    clock = ManualClock()
    job = Retention(PostgresMonths(database.dsn), Keep(731, 90, LOG_DAYS), clock)
    running = asyncio.create_task(job.run())
    try:
        async with asyncio.timeout(DEADLINE_S):
            while remaining() not in (([("e-0",)], (59,)), ([("e-0",)], (60,))):
                await asyncio.sleep(0.01)
                await clock.advance(BETWEEN_SECONDS)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
