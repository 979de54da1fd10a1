"""How an activation treats overdue steps (X7)."""

from goald.migrations.script import run_sql

revision = "0039"
down_revision = "0038"


def upgrade() -> None:
    run_sql(__file__)
