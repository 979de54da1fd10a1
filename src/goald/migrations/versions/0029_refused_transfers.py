"""Transfers that Postgres refuses (E21)."""

from goald.migrations.script import run_sql

revision = "0029"
down_revision = "0028"


def upgrade() -> None:
    run_sql(__file__)
