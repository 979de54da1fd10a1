"""Removal of contact ids from indexes by every vacuum."""

from goald.migrations.script import run_sql

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    run_sql(__file__)
