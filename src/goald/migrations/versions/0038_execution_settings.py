"""The settings of tenants for executions."""

from goald.migrations.script import run_sql

revision = "0038"
down_revision = "0037"


def upgrade() -> None:
    run_sql(__file__)
