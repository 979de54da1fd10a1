"""Merged contacts (E21)."""

from goald.migrations.script import run_sql

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    run_sql(__file__)
