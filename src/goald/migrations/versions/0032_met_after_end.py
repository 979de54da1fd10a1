"""Goals that are met after the end of an enrollment (E18)."""

from goald.migrations.script import run_sql

revision = "0032"
down_revision = "0031"


def upgrade() -> None:
    run_sql(__file__)
