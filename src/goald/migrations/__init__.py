"""The schema `goald`, as Alembic revisions in SQL (D11).

A revision is a Python file in `versions/` and an SQL file of the same name in `sql/`. Revisions
run as goald_owner, under one advisory lock, each in its own transaction. Those that build an index
of a large table run without one (`script.run_concurrently`).

All functions open a connection and block. Each may raise ServiceUnavailable.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationInfo
from alembic.script import ScriptDirectory
from sqlalchemy.pool import NullPool

from goald.domain.errors import SchemaMismatch, ServiceUnavailable
from goald.migrations.roles import API, OWNER, SHARD, ensure_roles

LOCK = 0x676F616C64
"""The key of the advisory lock of a migration ("goald")."""
CONNECT_SECONDS = 10
LOCK_CHECK_SECONDS = 0.2
ATTEMPTS = 60
"""Of a revision whose locks other transactions hold."""
RETRY_SECONDS = 2.0
_TRY_LOCK = "SELECT pg_try_advisory_lock(%s)"
_LOCKED = psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected


def upgrade(dsn: str, to: str = "head") -> list[str]:
    """Migrate the database to a revision. Returns the applied revisions, oldest first.

    Creates missing roles and the schema. Concurrent calls are safe: the second waits, and then
    applies nothing. Other transactions do not wait long for the locks of a revision: it is tried
    again if it does not get them soon. Raises SchemaMismatch if the login lacks the rights.
    """
    applied: list[str] = []
    for _ in range(ATTEMPTS):
        try:
            _upgrade(dsn, to, applied)
        except ServiceUnavailable as error:
            if not isinstance(error.__cause__, _LOCKED):
                raise
            time.sleep(RETRY_SECONDS)
        else:
            return applied
    raise ServiceUnavailable(
        f"Postgres: cannot migrate beyond {current(dsn)}, because other transactions use its "
        "tables: end those that take long, and migrate again"
    )


def _upgrade(dsn: str, to: str, applied: list[str]) -> None:
    """Run the missing revisions. Adds each to `applied`."""
    with _connect(dsn) as connection:
        connection.autocommit = True
        # A statement that waits would block an index build of the process that has the lock.
        while connection.execute(_TRY_LOCK, (LOCK,)).fetchone() != (True,):
            time.sleep(LOCK_CHECK_SECONDS)
        ensure_roles(connection)
        connection.execute(f"SET ROLE {OWNER}".encode())
        if _is_later(_revision(connection)):
            return  # a later release migrated it, and this one runs on that (D11)
        connection.autocommit = False
        _run(connection, to, applied)


def current(dsn: str) -> str | None:
    """Return the revision of the database; None if it has no schema."""
    with _connect(dsn) as connection:
        return _read_revision(connection)


def check(dsn: str, role: str | None = None) -> None:
    """Raise SchemaMismatch, with advice, unless this release can run on the database: it must be
    at this release's last revision or at a later release's (D11). If `role` is given, the login
    must be able to SET ROLE to it."""
    if role is not None:
        _require_role(dsn, role)
    if fault := mismatch(current(dsn)):
        raise SchemaMismatch(f"{fault}: run `goald migrate`")


def mismatch(revision: str | None) -> str | None:
    """Why this release cannot run on a database at this revision; None if it can. Does no I/O."""
    if revision is None:
        return "the database has no schema that goald_shard may use"
    if not _is_later(revision) and revision != head():
        return f"the database is at revision {revision}, this release needs {head()}"
    return None


def _require_role(dsn: str, role: str) -> None:
    with _connect(dsn) as connection:
        try:
            connection.execute(f"SET ROLE {role}".encode())
        except psycopg.errors.InvalidParameterValue:
            raise SchemaMismatch(f"the role {role} does not exist: run `goald migrate`") from None
        except psycopg.errors.InsufficientPrivilege:
            login = connection.info.user
            raise SchemaMismatch(
                f"the login {login!r} may not act as {role}: ask an administrator to run "
                f"GRANT {role} TO {login}, or use another login"
            ) from None


def head() -> str:
    """Return the last revision of this release."""
    found = _scripts().get_current_head()
    if found is None:
        raise SchemaMismatch("this installation of goald has no migrations: reinstall it")
    return found


def revisions() -> list[str]:
    """Return every revision of this release, oldest first."""
    return [script.revision for script in reversed(list(_scripts().walk_revisions()))]


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(Path(__file__).parent))


def _is_later(revision: str | None) -> bool:
    return revision is not None and revision not in revisions()


@contextmanager
def _connect(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    try:
        with psycopg.connect(
            dsn, connect_timeout=CONNECT_SECONDS, application_name="goald-migrate"
        ) as connection:
            yield connection
    except psycopg.OperationalError as error:
        raise ServiceUnavailable(f"Postgres: {str(error).strip()}") from error
    except sqlalchemy.exc.OperationalError as error:  # the end of a connection that was lost
        raise ServiceUnavailable(f"Postgres: {str(error.orig).strip()}") from error


def _read_revision(connection: psycopg.Connection[Any]) -> str | None:
    """Read the revision as goald_shard or goald_api, because the logins of the daemon and of the
    API may not act as the owner."""
    for role in (SHARD, API):
        try:
            with connection.transaction():
                connection.execute(f"SET ROLE {role}".encode())
                return _revision(connection)
        except (
            psycopg.errors.InvalidParameterValue,  # the role does not exist
            psycopg.errors.InsufficientPrivilege,  # the login may not use it
        ):
            continue
    return None


def _revision(connection: psycopg.Connection[Any]) -> str | None:
    try:
        row = connection.execute("SELECT version_num FROM goald.alembic_version").fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return None
    return str(row[0]) if row else None


def _run(connection: psycopg.Connection[Any], to: str, applied: list[str]) -> None:
    """Run the missing revisions over this connection in the role of the owner."""
    scripts = _scripts()
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: connection, poolclass=NullPool
    )

    def steps(revision: Any, _context: Any) -> Any:
        return scripts._upgrade_revs(to, revision)

    def add(ctx: Any, step: MigrationInfo, heads: Any, run_args: Any) -> None:
        applied.extend(step.up_revision_ids)

    with engine.connect() as bound, EnvironmentContext(Config(), scripts, fn=steps) as environment:
        environment.configure(
            connection=bound,
            version_table_schema="goald",
            transaction_per_migration=True,
            on_version_apply=add,
        )
        with environment.begin_transaction():
            environment.run_migrations()
