"""Forwards to deleted contacts (E21)."""

from goald.migrations.script import run_sql

revision = "0030"
down_revision = "0029"


def upgrade() -> None:
    run_sql(__file__)
