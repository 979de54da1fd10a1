"""Run the SQL file of a revision."""

from pathlib import Path

from alembic import op

SQL_FOLDER = Path(__file__).with_name("sql")


def run_sql(revision_file: str) -> None:
    """Run all statements of `NAME.sql`, in `sql` or a folder in it, for the revision file
    `versions/NAME.py`, in the transaction of the revision.

    The statements bypass SQLAlchemy, which would read the percent signs of SQL as placeholders.
    Raises RuntimeError if Alembic runs without a database.
    """
    name = Path(revision_file).with_suffix(".sql").name
    (file,) = SQL_FOLDER.rglob(name)
    statements = file.read_text(encoding="utf-8")
    connection = op.get_bind().connection.driver_connection
    if connection is None:
        raise RuntimeError("Alembic runs offline: these migrations need a database")
    connection.execute(statements)
