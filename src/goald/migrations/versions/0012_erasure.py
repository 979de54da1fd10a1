"""Tombstones of deleted contacts, and audit rows without contacts."""

from goald.migrations.script import run_sql

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    run_sql(__file__)
