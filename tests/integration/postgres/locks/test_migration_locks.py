"""Migrations while a previous release writes (D11), on a real Postgres."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from tests.fault.harness.servers import until
from tests.support.services.servers import Database

from goald import migrations
from goald.domain.errors import ServiceUnavailable

START = """
INSERT INTO goald.workflow_enrollments
    (tenant_id, id, contact_id, workflow_id, slot, status, enrolled_at, ended_at)
VALUES ('acme', %s, 'ann', %s, 1, 'exited', now(), now())
"""
MISS = """
INSERT INTO goald.missed_events (tenant_id, contact_id, event, slot, entry_id, payload, old_tags)
VALUES (%s, 'ann', gen_random_uuid(), 1, '1-0', %s, '{}')
"""
USAGE_IS_EXACT = """
SELECT array(SELECT (tenant_id, slot, sum(octet_length(payload))::bigint)::text
             FROM goald.missed_events GROUP BY tenant_id, slot ORDER BY 1)
     = array(SELECT (tenant_id, slot, bytes)::text
             FROM goald.missed_usage WHERE bytes <> 0 ORDER BY 1)
"""
WAITING = """
SELECT pid FROM pg_stat_activity
WHERE application_name = 'goald-migrate' AND wait_event_type = 'Lock' AND datname = %s
"""
INDEX = """
SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('goald.workflow_enrollments_ends')
"""


@contextmanager
def open_transaction(database: Database) -> Iterator[psycopg.Connection[Any]]:
    """A transaction that has written, and holds its locks."""
    with psycopg.connect(database.admin_dsn) as connection:
        connection.execute(START, ("e-other", "w-other"))
        yield connection
        connection.rollback()


@contextmanager
def migrating(database: Database) -> Iterator[list[list[str] | Exception]]:
    """Migrate meanwhile. Yields the result."""
    done: list[list[str] | Exception] = []

    def migrate() -> None:
        try:
            done.append(migrations.upgrade(database.dsn))
        except ServiceUnavailable as error:
            done.append(error)

    thread = threading.Thread(target=migrate)
    thread.start()
    yield done
    thread.join(60)
    assert done


def waiting(admin: psycopg.Connection[Any]) -> list[int]:
    name = admin.info.dbname
    return [pid for (pid,) in admin.execute(WAITING, (name,)).fetchall()]


@pytest.mark.parametrize("revision", ["0031", "0033"])
def test_others_write_while_a_migration_waits_for_a_transaction(
    empty_database: Database, revision: str
) -> None:
    """For longer than a lock may be waited for."""
    migrations.upgrade(empty_database.dsn, revision)
    with psycopg.connect(empty_database.admin_dsn, autocommit=True) as admin:
        admin.execute("SET statement_timeout = '20s'")
        with open_transaction(empty_database) as other, migrating(empty_database) as done:
            for number in range(3):
                until("a migration that waits", lambda: waiting(admin))
                admin.execute(START, (f"e-{number}", "w"))
            other.rollback()
        assert admin.execute(INDEX).fetchall() == [(True,)]
    after = migrations.revisions().index(revision) + 1
    assert done == [migrations.revisions()[after:]]


def test_an_index_whose_build_was_interrupted_is_built_again(empty_database: Database) -> None:
    migrations.upgrade(empty_database.dsn, "0033")
    with psycopg.connect(empty_database.admin_dsn, autocommit=True) as admin:
        with open_transaction(empty_database), migrating(empty_database) as done:
            until("a build that waits", lambda: waiting(admin))
            admin.execute("SELECT pg_terminate_backend(%s)", (waiting(admin)[0],))
        assert isinstance(done[0], ServiceUnavailable)
        assert admin.execute(INDEX).fetchall() == [(False,)]
        assert migrations.upgrade(empty_database.dsn)[0] == "0034"
        assert admin.execute(INDEX).fetchall() == [(True,)]


def test_a_migration_that_never_gets_its_locks_reports_it(
    empty_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "ATTEMPTS", 2)
    monkeypatch.setattr(migrations, "RETRY_SECONDS", 0.0)
    migrations.upgrade(empty_database.dsn, "0031")
    with (
        open_transaction(empty_database),
        pytest.raises(ServiceUnavailable, match="other transactions use its tables"),
    ):
        migrations.upgrade(empty_database.dsn)
    assert migrations.current(empty_database.dsn) == "0031"


@pytest.mark.parametrize("revision", ["0035", "0036"])
def test_missed_events_are_stored_and_counted_while_those_of_before_are_counted(
    empty_database: Database, revision: str
) -> None:
    """At 0035 the migration waits for the table, at 0036 for the bytes of one tenant."""
    migrations.upgrade(empty_database.dsn, "0035")
    with psycopg.connect(empty_database.admin_dsn, autocommit=True) as admin:
        admin.execute("SET statement_timeout = '20s'")
        for tenant in ("acme", "globex", "initech"):
            admin.execute(MISS, (tenant, b"before"))
        migrations.upgrade(empty_database.dsn, revision)
        admin.execute("DELETE FROM goald.missed_events WHERE tenant_id = 'initech'")
        with psycopg.connect(empty_database.admin_dsn) as other:
            other.execute(MISS, ("acme", b"not committed"))
            with migrating(empty_database) as done:
                for payload in (b"a", b"bc"):
                    until("a migration that waits", lambda: waiting(admin))
                    admin.execute(MISS, ("globex", payload))
                other.commit()
        assert not isinstance(done[0], Exception)
        assert admin.execute(USAGE_IS_EXACT).fetchone() == (True,)
