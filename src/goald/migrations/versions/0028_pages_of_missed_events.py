"""The order in which missed events are read."""

from goald.migrations.script import run_sql

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    run_sql(__file__)
