"""Run the SQL file of a revision."""

from pathlib import Path
from typing import Any

from alembic import op

SQL_FOLDER = Path(__file__).with_name("sql")
LOCK_TIMEOUT = "500ms"


def run_sql(revision_file: str) -> None:
    """Run all statements of `NAME.sql`, in `sql` or a folder in it, for the revision file
    `versions/NAME.py`, in the transaction of the revision.

    A statement that waits for a lock blocks others that need the table, so it waits for at most
    LOCK_TIMEOUT: then psycopg.errors.LockNotAvailable is raised.

    The statements bypass SQLAlchemy, which would read the percent signs of SQL as placeholders.
    Raises RuntimeError if Alembic runs without a database.
    """
    connection = _connection()
    connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
    connection.execute(_statements(revision_file))


def run_concurrently(revision_file: str) -> None:
    """As `run_sql`, but each statement commits. Needed to build an index while others write, which
    waits for their transactions without blocking them.

    The statements must end with a semicolon at the end of a line, and must be repeatable: after an
    interruption the revision starts again.
    """
    with op.get_context().autocommit_block():
        connection = _connection()
        connection.execute("SET lock_timeout = 0")
        for statement in filter(str.strip, _statements(revision_file).split(";\n")):
            connection.execute(statement)


def _statements(revision_file: str) -> str:
    name = Path(revision_file).with_suffix(".sql").name
    (file,) = SQL_FOLDER.rglob(name)
    return file.read_text(encoding="utf-8")


def _connection() -> Any:
    connection = op.get_bind().connection.driver_connection
    if connection is None:
        raise RuntimeError("Alembic runs offline: these migrations need a database")
    return connection
