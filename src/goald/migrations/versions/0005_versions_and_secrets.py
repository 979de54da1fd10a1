"""Versions of the configuration, and webhook secrets."""

from goald.migrations.script import run_sql

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    run_sql(__file__)
