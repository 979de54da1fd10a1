"""The merges that moved contacts and enrollments (E21)."""

from goald.migrations.script import run_sql

revision = "0033"
down_revision = "0032"


def upgrade() -> None:
    run_sql(__file__)
