"""`goald audit verify` finds every change that a superuser makes, and nothing else."""

import threading

import psycopg
import pytest
from tests.support.data.audit import (
    SHARD,
    achieve,
    add_workflow,
    configuring,
    read_audit_log,
    tamper,
    three_chains,
)
from tests.support.services.servers import Database

from goald.adapters.postgres.records.audit_verification import read_chunks
from goald.domain.audit.log import AuditVerification

Found = list[tuple[str, str, int, int | None]]


def found(database: Database, rows: int = 10_000) -> Found:
    """The findings of a verification that reads `rows` rows per chunk."""
    verification = AuditVerification({})
    return [
        (finding.writer, finding.kind, finding.number, finding.last)
        for chunk in read_chunks(database.dsn, rows)
        for finding in verification.check(chunk)
    ]


@pytest.fixture
def log(database: Database) -> Database:
    three_chains(database)
    return database


@pytest.mark.parametrize("rows", [1, 2, 5, 10_000])
def test_unmodified_log_is_intact(log: Database, rows: int) -> None:
    assert len(read_audit_log(log)) == 13
    assert found(log, rows) == []


def test_empty_log_is_intact(database: Database) -> None:
    assert found(database) == []


@pytest.mark.parametrize("rows", [1, 4, 10_000])
@pytest.mark.parametrize(
    ("what", "statements", "expected"),
    [
        (
            "after",
            [
                "UPDATE goald.audit_log SET after = jsonb_set(after, '{goal_type}', '\"eve\"')"
                f" WHERE {SHARD} = 4"
            ],
            [("modified", 4, None)],
        ),
        (
            "actor of the first",
            [f"UPDATE goald.audit_log SET actor = 'goale' WHERE {SHARD} = 1"],
            [("modified", 1, None)],
        ),
        (
            "actor of the last",
            [f"UPDATE goald.audit_log SET actor = 'goale' WHERE {SHARD} = 9"],
            [("modified", 9, None)],
        ),
        (
            "when",
            [
                "UPDATE goald.audit_log SET recorded_at = recorded_at + '1 microsecond'"
                f" WHERE {SHARD} = 5"
            ],
            [("modified", 5, None)],
        ),
        (
            "tenant",
            [f"UPDATE goald.audit_log SET tenant_id = 'zeta' WHERE {SHARD} = 5"],
            [("modified", 5, None)],
        ),
        (
            "two rows that follow one another",
            [f"UPDATE goald.audit_log SET actor = 'eve' WHERE {SHARD} IN (4, 5)"],
            [("modified", 4, None), ("modified", 5, None)],
        ),
        (
            "hash",
            [
                "UPDATE goald.audit_log SET hash = set_byte(hash, 7, get_byte(hash, 7) # 1)"
                f" WHERE {SHARD} = 4"
            ],
            [("rehashed", 4, None)],
        ),
        (
            "hash of the last",
            [
                "UPDATE goald.audit_log SET hash = set_byte(hash, 7, get_byte(hash, 7) # 1)"
                f" WHERE {SHARD} = 9"
            ],
            [("rehashed", 9, None)],
        ),
        (
            "deleted in the middle",
            [f"DELETE FROM goald.audit_log WHERE {SHARD} IN (4, 5)"],
            [("missing", 4, 5)],
        ),
        (
            "deleted at the beginning",
            [f"DELETE FROM goald.audit_log WHERE {SHARD} = 1"],
            [("missing", 1, None)],
        ),
        (
            "cut off",
            [f"DELETE FROM goald.audit_log WHERE {SHARD} = 9"],
            [("truncated", 9, None)],
        ),
        (
            "cut off as a whole",
            [f"DELETE FROM goald.audit_log WHERE {SHARD} > 0"],
            [("truncated", 1, 9)],
        ),
        (
            "neighbours exchanged",
            [
                f"UPDATE goald.audit_log SET number = 99 WHERE {SHARD} = 4",
                f"UPDATE goald.audit_log SET number = 4 WHERE {SHARD} = 5",
                f"UPDATE goald.audit_log SET number = 5 WHERE {SHARD} = 99",
            ],
            [("swapped", 4, None), ("swapped", 5, None)],
        ),
        (
            "far rows exchanged",
            [
                f"UPDATE goald.audit_log SET number = 99 WHERE {SHARD} = 3",
                f"UPDATE goald.audit_log SET number = 3 WHERE {SHARD} = 8",
                f"UPDATE goald.audit_log SET number = 8 WHERE {SHARD} = 99",
            ],
            [("swapped", 3, None), ("swapped", 8, None)],
        ),
        (
            "content of two rows exchanged, hashes left",
            [
                "UPDATE goald.audit_log l SET subject_id = o.subject_id, after = o.after,"
                " recorded_at = o.recorded_at FROM goald.audit_log o"
                " WHERE l.writer = 'slots/0' AND o.writer = 'slots/0'"
                " AND (l.number, o.number) IN ((3, 6), (6, 3))"
            ],
            [("swapped", 3, None), ("swapped", 6, None)],
        ),
        (
            "put in behind the end",
            [
                "INSERT INTO goald.audit_log SELECT writer, 10, tenant_id, recorded_at, actor,"
                f" action, subject, 'e-x', workflow_id, before, after, hash FROM goald.audit_log"
                f" WHERE {SHARD} = 9"
            ],
            [("appended", 10, None), ("modified", 10, None)],
        ),
        (
            "put in before another of its number",
            [
                "INSERT INTO goald.audit_log SELECT writer, number, tenant_id,"
                " recorded_at - interval '1 second', actor, action, subject, 'e-x', workflow_id,"
                f" before, after, hash FROM goald.audit_log WHERE {SHARD} = 5"
            ],
            [("inserted", 5, None)],
        ),
        (
            "put in behind another of its number",
            [
                "INSERT INTO goald.audit_log SELECT writer, number, tenant_id,"
                " recorded_at + interval '1 second', actor, action, subject, 'e-x', workflow_id,"
                f" before, after, hash FROM goald.audit_log WHERE {SHARD} = 5"
            ],
            [("inserted", 5, None)],
        ),
        (
            "end turned back",
            ["UPDATE goald.audit_heads SET number = 7 WHERE writer = 'slots/0'"],
            [("appended", 8, 9)],
        ),
        (
            "end's hash",
            ["UPDATE goald.audit_heads SET hash = '\\x00' WHERE writer = 'slots/0'"],
            [("head modified", 9, None)],
        ),
        (
            "end deleted",
            ["DELETE FROM goald.audit_heads WHERE writer = 'slots/0'"],
            [("head missing", 9, None)],
        ),
    ],
    ids=lambda given: given.replace(" ", "-") if isinstance(given, str) else "",
)
def test_tampering_is_found_and_reported(
    log: Database,
    what: str,
    statements: list[str],
    expected: list[tuple[str, int, int | None]],
    rows: int,
) -> None:
    tamper(log, *statements)
    assert found(log, rows) == [("slots/0", *finding) for finding in expected]


def test_finding_in_a_tenants_chain_reports_its_writer(log: Database) -> None:
    tamper(log, "UPDATE goald.audit_log SET actor = 'eve' WHERE writer = 'tenant/zeta'")
    assert found(log, 3) == [
        ("tenant/zeta", "modified", 1, None),
        ("tenant/zeta", "modified", 2, None),
    ]


def test_verification_does_not_call_functions_of_the_database(log: Database) -> None:
    """A superuser can also replace the function that computes the hashes."""
    tamper(log, f"UPDATE goald.audit_log SET actor = 'eve' WHERE {SHARD} = 2")
    with psycopg.connect(log.admin_dsn) as admin:
        admin.execute("DROP TRIGGER audit ON goald.workflow_goal_achievements")
        admin.execute("DROP FUNCTION goald.audit_text CASCADE")
    assert found(log) == [("slots/0", "modified", 2, None)]


def test_log_is_intact_while_it_grows(database: Database) -> None:
    stop = threading.Event()
    commits = 0

    def commit() -> None:
        nonlocal commits
        while not stop.is_set():
            achieve(database, *(f"e-{commits}-{n}" for n in range(5)))
            with configuring(database, tenant=f"t-{commits % 7}") as connection:
                add_workflow(connection, f"w-{commits}")
            commits += 1

    writer = threading.Thread(target=commit)
    writer.start()
    try:
        seen = 0
        while seen < 20:
            assert found(database, rows=7) == []
            seen = commits
            assert writer.is_alive()
    finally:
        stop.set()
        writer.join(30)
