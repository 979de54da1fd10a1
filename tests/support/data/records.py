"""Writes enrollments and achievements as a shard does, for tests of their readers."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from tests.support.services.servers import Database

HOUR = 3_600_000_000
BEGAN = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z
GOALS = [f"00000000-0000-4000-8000-{number:012}" for number in range(3)]

ENROLLMENT = """
INSERT INTO goald.workflow_enrollments (tenant_id, id, contact_id, workflow_id, slot, status,
    enrolled_at, ended_at, met_goals, pending_actions)
VALUES (%s, %s, %s, %s, 0, %s, goald.at(%s), goald.at(%s), %s, 3)
"""
ACHIEVEMENT = """
INSERT INTO goald.workflow_goal_achievements (tenant_id, id, workflow_id,
    workflow_enrollment_id, contact_id, goal_config_id, goal_type, slot, achieved_at,
    trigger_event, metadata)
VALUES (%s, gen_random_uuid(), %s, %s, %s, %s, %s, 0, goald.at(%s),
    '{"contact_id": "ann", "amount": 150.00, "much": 12345678901234567890.5, "more": 1e40}',
    '{"event_id": "e-1"}')
"""
MISSED_EVENT = """
INSERT INTO goald.missed_events (tenant_id, contact_id, event, slot, entry_id, payload, old_tags,
    missed_at)
VALUES (%s, %s, md5(%s)::uuid, 0, '1-0', '', '{}', now() - make_interval(days => %s))
"""
MISSED_RUN = """
INSERT INTO goald.missed_runs (tenant_id, enrollment_id, workflow_id, contact_id, event, slot,
    missed_at)
VALUES (%s, %s, %s, %s, md5(%s)::uuid, 0, now() - make_interval(days => %s))
"""


class Records:
    """Writes rows as a shard that owns all slots."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def enroll(
        self,
        name: str,
        at: int,
        *,
        contact: str = "ann",
        status: str = "active",
        workflow: str = "welcome",
        tenant: str = "acme",
    ) -> None:
        ended = None if status == "active" else at + HOUR
        met = GOALS[:1] if status == "completed_goal" else []
        self._write(ENROLLMENT, tenant, name, contact, workflow, status, at, ended, met)

    def achieve(
        self,
        enrollment: str,
        at: int,
        *,
        goal: str = GOALS[0],
        kind: str = "tag_added",
        contact: str = "ann",
        tenant: str = "acme",
    ) -> None:
        self._write(ACHIEVEMENT, tenant, "welcome", enrollment, contact, goal, kind, at)

    def miss(
        self,
        enrollment: str,
        *,
        contact: str = "ann",
        workflow: str = "welcome",
        tenant: str = "acme",
        days_ago: int = 0,
    ) -> None:
        """The enrollment, whose workflow is paused, missed an event."""
        event, run = (tenant, contact, enrollment), (tenant, enrollment, workflow, contact)
        self._write(MISSED_EVENT, *event, days_ago)
        self._write(MISSED_RUN, *run, enrollment, days_ago)

    def _write(self, statement: str, *values: Any) -> None:
        with self._connection.transaction():
            self._connection.execute("SELECT set_config('goald.slots', '0-127', true)")
            self._connection.execute(statement, values)


@pytest.fixture
def records(database: Database) -> Iterator[Records]:
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute("SET ROLE goald_shard")
        yield Records(connection)
