"""Rows that the audit log tells of, written as the daemon's roles write them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.rows import dict_row
from tests.support.services.servers import Database

SHARD = "writer = 'slots/0' AND number"
"""The rows of the shard's chain, in SQL, by their number."""


@contextmanager
def configuring(
    database: Database, tenant: str = "acme", actor: str = "editor"
) -> Iterator[psycopg.Connection[Any]]:
    """A transaction of goald_api for a tenant, committed at the end of the body."""
    with psycopg.connect(database.dsn) as connection:
        connection.execute("SET LOCAL ROLE goald_api")
        connection.execute(
            "SELECT set_config('goald.tenant', %s, true), set_config('goald.actor', %s, true)",
            (tenant, actor),
        )
        yield connection


@contextmanager
def committing(database: Database, slots: str = "0-127") -> Iterator[psycopg.Connection[Any]]:
    """A transaction of goald_shard for these slots, committed at the end of the body."""
    with psycopg.connect(database.dsn) as connection:
        connection.execute("SET LOCAL ROLE goald_shard")
        connection.execute("SELECT set_config('goald.slots', %s, true)", (slots,))
        yield connection


def add_achievements(
    connection: psycopg.Connection[Any], *enrollments: str, tenant: str = "acme", slot: int = 3
) -> None:
    """An achievement of each of these enrollments, by one statement."""
    connection.execute(
        "INSERT INTO goald.workflow_goal_achievements (tenant_id, id, workflow_id,"
        " workflow_enrollment_id, contact_id, goal_config_id, goal_type, slot, achieved_at,"
        " trigger_event, metadata) SELECT %s, gen_random_uuid(), 'w-1', e, 'ann',"
        " gen_random_uuid(), 'tag_added', %s, '2026-01-02 03:04:05.678901+00', '{}', '{}'"
        " FROM unnest(%s::text[]) AS e",
        (tenant, slot, list(enrollments)),
    )


def achieve(database: Database, *enrollments: str, **of: Any) -> None:
    """A commit of the engine with these achievements."""
    with committing(database) as connection:
        add_achievements(connection, *enrollments, **of)


def add_workflow(connection: psycopg.Connection[Any], workflow: str, **columns: Any) -> None:
    """A workflow of the tenant that the transaction sees."""
    values = {"id": workflow, "name": "W", "config_version": 1, **columns}
    connection.execute(
        f"INSERT INTO goald.workflows (tenant_id, {', '.join(values)}) VALUES"
        f" (goald.tenant(), {', '.join(['%s'] * len(values))})".encode(),
        list(values.values()),
    )


def told(database: Database) -> list[dict[str, Any]]:
    """The whole log, by writer and number."""
    with psycopg.connect(database.admin_dsn, row_factory=dict_row) as admin:
        return admin.execute("SELECT * FROM goald.audit_log ORDER BY writer, number").fetchall()


def tamper(database: Database, *statements: str) -> None:
    """What a superuser does behind goald's back."""
    with psycopg.connect(database.admin_dsn) as admin:
        for statement in statements:
            assert admin.execute(statement.encode()).rowcount > 0, statement


def three_chains(database: Database) -> None:
    """Write a log of three chains: nine achievements in commits of three, and two tenants."""
    for i in range(3):
        achieve(database, *(f"e-{i}-{n}" for n in range(3)))
    for tenant in ("acme", "zeta"):
        with configuring(database, tenant=tenant) as connection:
            add_workflow(connection, "w-1", name='A "name"\twith \\ ü 🎯 \x7f and \x01'[:-1])
            connection.execute("UPDATE goald.workflows SET is_active = true")
