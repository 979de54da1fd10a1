"""The bytes of missed events of each tenant (E19)."""

from goald.migrations.script import run_sql

revision = "0036"
down_revision = "0035"


def upgrade() -> None:
    run_sql(__file__)
