"""A column and an index for exits that wait for an acknowledgement."""

from goald.migrations.script import run_sql

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    run_sql(__file__)
