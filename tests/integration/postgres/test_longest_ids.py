"""The longest ids fit into every index. Otherwise a start with such ids would never be committed,
and its shard would wait for Postgres."""

import json
import random

import psycopg
import pytest
from tests.support.services.servers import Database

from goald.domain.ids import MAX_ID_BYTES, is_id


def longest_id(seed: int) -> str:
    """An id of the most bytes, which Postgres cannot compress."""
    picked = random.Random(seed)
    text = "".join(chr(picked.randrange(0x20000, 0x2A6D0)) for _ in range(MAX_ID_BYTES // 4))
    assert is_id(text)
    assert not is_id(text + "a")
    return text


@pytest.fixture
def ids() -> list[str]:
    return [longest_id(seed) for seed in range(6)]


def test_enrollment_with_the_longest_ids_is_stored(database: Database, ids: list[str]) -> None:
    tenant, contact, workflow, enrollment, *_ = ids
    with psycopg.connect(database.admin_dsn) as admin:
        admin.execute(
            "INSERT INTO goald.workflow_enrollments"
            " (tenant_id, id, contact_id, workflow_id, slot, status, enrolled_at)"
            " VALUES (%s, %s, %s, %s, 0, 'active', now())",
            (tenant, enrollment, contact, workflow),
        )
        used = admin.execute(
            "INSERT INTO goald.used_events (tenant_id, contact_id, workflow_id, slot, event,"
            " enrolled_at, number) VALUES (%s, %s, %s, 0, gen_random_uuid(), now(), 1)",
            (tenant, contact, workflow),
        )
        assert used.rowcount == 1
        stored = admin.execute(
            "SELECT id FROM goald.workflow_enrollments WHERE tenant_id = %s", (tenant,)
        )
        assert stored.fetchall() == [(enrollment,)]


def test_goal_with_the_longest_criteria_is_stored(database: Database, ids: list[str]) -> None:
    tenant, workflow, key, tag, name, _ = ids
    criteria = json.dumps({"tag_id": tag, "tag_name": name + "x" * 63})
    with psycopg.connect(database.admin_dsn) as admin:
        admin.execute(
            "INSERT INTO goald.workflows (tenant_id, id, name, goal_logic, config_version)"
            " VALUES (%s, %s, 'W', 'any', 1)",
            (tenant, workflow),
        )
        admin.execute(
            "INSERT INTO goald.workflow_goals"
            " (tenant_id, id, workflow_id, key, position, goal_type, criteria)"
            " VALUES (%s, gen_random_uuid(), %s, %s, 0, 'tag_added', %s)",
            (tenant, workflow, key, criteria),
        )
        stored = admin.execute(
            "SELECT key, criteria FROM goald.workflow_goals WHERE tenant_id = %s", (tenant,)
        )
        assert stored.fetchall() == [(key, json.loads(criteria))]
