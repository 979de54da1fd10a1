"""How a revision runs the SQL file beside it."""

from pathlib import Path

from alembic import op


def run_sql_beside(revision_file: str) -> None:
    """Run all statements of the `.sql` file of the same name, in the revision's transaction.

    Goes past SQLAlchemy, which would take the percent signs of SQL for placeholders.
    """
    statements = Path(revision_file).with_suffix(".sql").read_text(encoding="utf-8")
    connection = op.get_bind().connection.driver_connection
    if connection is None:
        raise RuntimeError("Alembic runs offline: these migrations need a database")
    connection.execute(statements)
