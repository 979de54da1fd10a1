"""Events that paused workflows miss."""

from goald.migrations.script import run_sql

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    run_sql(__file__)
