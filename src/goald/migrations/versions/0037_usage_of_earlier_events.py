"""The bytes of the events that were missed before (E19)."""

from goald.migrations.script import run_sql

revision = "0037"
down_revision = "0036"


def upgrade() -> None:
    run_sql(__file__)
