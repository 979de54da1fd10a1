"""Personal data in the statistics of the planner."""

from goald.migrations.script import run_sql

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    run_sql(__file__)
