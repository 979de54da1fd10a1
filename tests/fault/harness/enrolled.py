"""Enrollments to begin with: what a shard has to load before it is back."""

import uuid
import zlib

import psycopg

TENANT = "crowd"
WORKFLOW = "re-engage"
BEGAN = "2026-01-01T00:00:00Z"
_COPY = """
COPY goald.workflow_enrollments
    (tenant_id, id, contact_id, workflow_id, slot, status, enrolled_at) FROM STDIN
"""


def enrol(admin_dsn: str, enrollments: int) -> None:
    """Three of each contact, in a workflow that is configured, of a tenant to whom nothing
    else happens."""
    with psycopg.connect(admin_dsn) as connection:
        with connection.cursor() as cursor, cursor.copy(_COPY.encode()) as copy:
            for number in range(enrollments):
                contact = str(uuid.UUID(int=(0xC0 << 120) | number // 3, version=4))
                enrollment = str(uuid.UUID(int=(0xE0 << 120) | number, version=4))
                slot = zlib.crc32(f"{TENANT}\x1f{contact}".encode()) % 256
                copy.write_row((TENANT, enrollment, contact, WORKFLOW, slot, "active", BEGAN))
        connection.commit()
        connection.execute("ANALYZE goald.workflow_enrollments")
