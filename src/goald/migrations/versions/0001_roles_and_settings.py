"""The settings that row security reads, and exact conversions of times."""

from goald.migrations.script import run_sql

revision = "0001"
down_revision = None


def upgrade() -> None:
    run_sql(__file__)
