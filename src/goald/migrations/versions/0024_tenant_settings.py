"""The settings of tenants."""

from goald.migrations.script import run_sql

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    run_sql(__file__)
