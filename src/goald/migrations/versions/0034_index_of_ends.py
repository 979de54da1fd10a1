"""The index of the ends of enrollments (E18), built while the previous release writes."""

from goald.migrations.script import run_concurrently

revision = "0034"
down_revision = "0033"


def upgrade() -> None:
    run_concurrently(__file__)
