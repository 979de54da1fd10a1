"""Definitions in Postgres: published versions do not change, and the audit log has every change
with the digest of the document."""

import asyncio
from typing import Any

import psycopg
import pytest
from tests.support.data.audit import add_workflow, configuring, read_audit_log
from tests.support.services.servers import Database

from goald.adapters.postgres.partitions import PostgresMonths


def add(connection: psycopg.Connection[Any], version: int, *, plan: bytes | None = None) -> None:
    connection.execute(
        "INSERT INTO goald.workflow_definitions (tenant_id, workflow_id, version, document, digest,"
        " plan, revision, published_at) VALUES ('acme', 'w-1', %s, '{\"secret\": 1}', sha256('1'),"
        " %s, %s, CASE WHEN %s::bytea IS NOT NULL THEN now() END)",
        (version, plan, version, plan),
    )


@pytest.fixture
def published(database: Database) -> Database:
    """A database with a published version 1 and a draft 2."""
    with configuring(database) as connection:
        add_workflow(connection, "w-1")
        add(connection, 1, plan=b"plan")
        add(connection, 2)
    return database


def change(database: Database, statement: str) -> int:
    with configuring(database) as connection:
        return connection.execute(statement.encode()).rowcount


@pytest.mark.parametrize(
    "change_of",
    [
        "document = '{}'",
        "digest = sha256('2')",
        "plan = 'x'",
        "published_at = now() - interval '1d'",
    ],
)
def test_a_published_version_cannot_change(published: Database, change_of: str) -> None:
    update = f"UPDATE goald.workflow_definitions SET {change_of} WHERE version = 1"
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="is published"):
        change(published, update)


def test_a_published_version_cannot_be_removed_and_a_draft_can(published: Database) -> None:
    assert change(published, "DELETE FROM goald.workflow_definitions") == 1
    with configuring(published) as connection:
        kept = connection.execute("SELECT version FROM goald.workflow_definitions").fetchall()
    assert kept == [(1,)]


def test_a_workflow_has_one_draft(published: Database) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation), configuring(published) as connection:
        add(connection, 3)


def test_every_change_is_recorded_with_the_digest_and_without_the_document(
    published: Database,
) -> None:
    change(
        published, "UPDATE goald.workflow_definitions SET digest = sha256('2') WHERE version = 2"
    )
    change(
        published,
        "UPDATE goald.workflow_definitions SET plan = 'p', published_at = now() WHERE version = 2",
    )
    change(published, "UPDATE goald.workflow_definitions SET revision = 9 WHERE version = 2")
    with configuring(published) as connection:
        add(connection, 3)
    change(published, "DELETE FROM goald.workflow_definitions WHERE version = 3")
    change(published, "UPDATE goald.workflows SET deleted_at = now()")

    rows = [row for row in read_audit_log(published) if row["subject"] == "definition"]
    assert [(row["action"], row["subject_id"]) for row in rows] == [
        ("definition.published", "1"),
        ("definition.created", "2"),
        ("definition.updated", "2"),
        ("definition.published", "2"),
        ("definition.created", "3"),
        ("definition.deleted", "3"),
        ("definition.deleted", "1"),
        ("definition.deleted", "2"),
    ]
    assert {row["workflow_id"] for row in rows} == {"w-1"}
    digests = [row["after"]["digest"][:4] for row in rows if row["after"] is not None]
    assert digests == ["6b86", "6b86", "d473", "d473", "6b86"]
    assert not any("secret" in str(row) for row in rows)


def test_the_definition_of_a_deleted_workflow_is_removed_with_its_row(published: Database) -> None:
    change(published, "UPDATE goald.workflows SET deleted_at = now()")
    with psycopg.connect(published.admin_dsn) as admin:
        old = "deleted_at = now() - interval '40 days'"
        admin.execute(f"UPDATE goald.workflow_definitions SET {old}".encode())
        admin.execute(f"UPDATE goald.workflows SET {old}".encode())

    async def purge() -> int:
        months = PostgresMonths(published.dsn)
        try:
            return await months.purge_deleted(31, 1_000)
        finally:
            await months.close()

    assert asyncio.run(purge()) == 3
    with psycopg.connect(published.admin_dsn) as admin:
        assert admin.execute("SELECT count(*) FROM goald.workflow_definitions").fetchone() == (0,)
