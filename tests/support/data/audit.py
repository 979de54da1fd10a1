"""Writes rows that the audit log records, with the database roles of the daemon."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.rows import dict_row
from tests.support.services.servers import Database

SHARD = "writer = 'slots/0' AND number"
"""The beginning of an SQL condition on the number of a row in the shard's chain."""


@contextmanager
def configuring(
    database: Database, tenant: str = "acme", actor: str = "editor"
) -> Iterator[psycopg.Connection[Any]]:
    """Yields a connection in a transaction of goald_api for a tenant. Commits at the end of the
    `with` block."""
    with psycopg.connect(database.dsn) as connection:
        connection.execute("SET LOCAL ROLE goald_api")
        connection.execute(
            "SELECT set_config('goald.tenant', %s, true), set_config('goald.actor', %s, true)",
            (tenant, actor),
        )
        yield connection


@contextmanager
def committing(database: Database, slots: str = "0-127") -> Iterator[psycopg.Connection[Any]]:
    """Yields a connection in a transaction of goald_shard for these slots. Commits at the end of
    the `with` block."""
    with psycopg.connect(database.dsn) as connection:
        connection.execute("SET LOCAL ROLE goald_shard")
        connection.execute("SELECT set_config('goald.slots', %s, true)", (slots,))
        yield connection


def add_achievements(
    connection: psycopg.Connection[Any], *enrollments: str, tenant: str = "acme", slot: int = 3
) -> None:
    """Add an achievement for each of these enrollments, in one statement."""
    connection.execute(
        "INSERT INTO goald.workflow_goal_achievements (tenant_id, id, workflow_id,"
        " workflow_enrollment_id, contact_id, goal_config_id, goal_type, slot, achieved_at,"
        " trigger_event, metadata) SELECT %s, gen_random_uuid(), 'w-1', e, 'ann',"
        " gen_random_uuid(), 'tag_added', %s, '2026-01-02 03:04:05.678901+00', '{}', '{}'"
        " FROM unnest(%s::text[]) AS e",
        (tenant, slot, list(enrollments)),
    )


def achieve(database: Database, *enrollments: str, **options: Any) -> None:
    """Commit these achievements as a shard."""
    with committing(database) as connection:
        add_achievements(connection, *enrollments, **options)


def add_workflow(connection: psycopg.Connection[Any], workflow: str, **columns: Any) -> None:
    """Add a workflow for the tenant of the transaction."""
    values = {"id": workflow, "name": "W", "config_version": 1, **columns}
    connection.execute(
        f"INSERT INTO goald.workflows (tenant_id, {', '.join(values)}) VALUES"
        f" (goald.tenant(), {', '.join(['%s'] * len(values))})".encode(),
        list(values.values()),
    )


def read_audit_log(database: Database) -> list[dict[str, Any]]:
    """The audit log of all tenants, by writer and number."""
    with psycopg.connect(database.admin_dsn, row_factory=dict_row) as admin:
        return admin.execute("SELECT * FROM goald.audit_log ORDER BY writer, number").fetchall()


def tamper(database: Database, *statements: str) -> None:
    """Run statements as a superuser, bypassing goald. Each must change rows."""
    with psycopg.connect(database.admin_dsn) as admin:
        for statement in statements:
            assert admin.execute(statement.encode()).rowcount > 0, statement


def three_chains(database: Database) -> None:
    """Write a log with three chains: nine achievements in three commits, and two tenants."""
    for i in range(3):
        achieve(database, *(f"e-{i}-{n}" for n in range(3)))
    for tenant in ("acme", "zeta"):
        with configuring(database, tenant=tenant) as connection:
            add_workflow(connection, "w-1", name='A "name"\twith \\ ü 🎯 \x7f and \x01'[:-1])
            connection.execute("UPDATE goald.workflows SET is_active = true")
