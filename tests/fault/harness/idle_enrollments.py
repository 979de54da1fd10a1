"""Enrollments without events, which a shard must load before it is ready."""

import uuid
import zlib

import psycopg

TENANT = "idle"
WORKFLOW = "re-engage"
BEGAN = "2026-01-01T00:00:00Z"
_COPY = """
COPY goald.workflow_enrollments
    (tenant_id, id, contact_id, workflow_id, slot, status, enrolled_at) FROM STDIN
"""


def insert_enrollments(admin_dsn: str, enrollments: int) -> None:
    """Insert this many enrollments of a tenant without events, three per contact, in a configured
    workflow."""
    with psycopg.connect(admin_dsn) as connection:
        with connection.cursor() as cursor, cursor.copy(_COPY.encode()) as copy:
            for number in range(enrollments):
                contact = str(uuid.UUID(int=(0xC0 << 120) | number // 3, version=4))
                enrollment = str(uuid.UUID(int=(0xE0 << 120) | number, version=4))
                slot = zlib.crc32(f"{TENANT}\x1f{contact}".encode()) % 256
                copy.write_row((TENANT, enrollment, contact, WORKFLOW, slot, "active", BEGAN))
        connection.commit()
        connection.execute("ANALYZE goald.workflow_enrollments")
