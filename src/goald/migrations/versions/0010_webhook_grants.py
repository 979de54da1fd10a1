"""Columns for the event types and sources that a webhook may send."""

from goald.migrations.script import run_sql

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    run_sql(__file__)
