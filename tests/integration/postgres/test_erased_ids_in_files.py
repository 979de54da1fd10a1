"""A vacuum removes the ids of deleted contacts from the files of tables and of their indexes. Only
the free space of a page may still contain them (docs/explanation/erasure-and-retention.md)."""

import struct
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.support.services.servers import Database

CONTACT, PSEUDONYM = "contact-in-the-files", "erased:of-the-test"
OTHERS = 20_000
"""With this number, one erasure leaves dead rows in less than 2% of the pages of a table."""

INSERT = {
    "workflow_enrollments": """
INSERT INTO goald.workflow_enrollments
    (tenant_id, id, contact_id, workflow_id, slot, status, enrolled_at)
SELECT 'acme', gen_random_uuid(), contact, 'w-1', 3, 'active', now()
FROM unnest(%(contacts)s::text[]) AS of (contact)
""",
    "workflow_goal_achievements": """
INSERT INTO goald.workflow_goal_achievements (tenant_id, id, workflow_id,
    workflow_enrollment_id, contact_id, goal_config_id, goal_type, slot, achieved_at,
    recorded_at, trigger_event, metadata)
SELECT 'acme', gen_random_uuid(), 'w-1', gen_random_uuid(), contact, gen_random_uuid(),
    'tag_added', 3, now(), now() + make_interval(months => %(months)s), '{}', '{}'
FROM unnest(%(contacts)s::text[]) AS of (contact)
""",
    "outbox": """
INSERT INTO goald.outbox (tenant_id, slot, contact_id, message_id, stream, payload, published_at)
SELECT 'acme', 3, contact, gen_random_uuid(), 'goald:exits', '{}', now()
FROM unnest(%(contacts)s::text[]) AS of (contact)
""",
}
FILES = """
SELECT c.relname, pg_relation_filepath(c.oid), current_setting('data_directory') FROM pg_class c
WHERE c.relnamespace = 'goald'::regnamespace AND c.relkind IN ('r', 'i')
    AND pg_relation_filepath(c.oid) IS NOT NULL
"""


PAGE_BYTES = 8192


def content(file: Path) -> bytes:
    """The pages of a table or index, without their free space."""
    pages = memoryview(file.read_bytes())
    used = []
    for start in range(0, len(pages), PAGE_BYTES):
        page = pages[start : start + PAGE_BYTES]
        lower, upper = struct.unpack_from("<HH", page, 12)
        used += [page[:lower], page[upper:]]
    return b"".join(used)


def relations_with(admin: psycopg.Connection[Any], value: str) -> list[str]:
    """The schema's tables and indexes whose files contain the value."""
    admin.execute("CHECKPOINT")
    return [
        name
        for name, file, directory in admin.execute(FILES)
        if value.encode() in content(Path(directory, file))
    ]


@pytest.mark.parametrize(
    ("table", "months"),
    [
        ("workflow_enrollments", 0),
        ("outbox", 0),
        ("workflow_goal_achievements", 0),
        ("workflow_goal_achievements", 5),
    ],
)
def test_vacuum_removes_an_erased_id_also_from_indexes(
    database: Database, table: str, months: int
) -> None:
    with psycopg.connect(database.admin_dsn, autocommit=True) as admin:
        admin.execute("SELECT goald.make_achievement_months(6)")
        before = [f"c-{number}" for number in range(OTHERS)]
        after = [f"d-{number}" for number in range(OTHERS)]
        contacts = [*before, CONTACT, *after]
        admin.execute(INSERT[table].encode(), {"contacts": contacts, "months": months})
        assert len(relations_with(admin, CONTACT)) > 1  # the table and an index

        admin.execute(
            f"UPDATE goald.{table} SET contact_id = %s WHERE contact_id = %s".encode(),
            (PSEUDONYM, CONTACT),
        )
        admin.execute(f"VACUUM goald.{table}".encode())

        assert relations_with(admin, CONTACT) == []
        assert len(relations_with(admin, PSEUDONYM)) > 1
