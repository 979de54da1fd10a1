"""Columns for encrypted webhook secrets."""

from goald.migrations.script import run_sql

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    run_sql(__file__)
