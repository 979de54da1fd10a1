"""The erasure of deleted contacts, over the tables in memory."""

from uuid import uuid4

from goald.adapters.memory.database import (
    MemoryDatabase,
    StoredEnrollment,
    began_at,
    is_end_only,
)
from goald.adapters.memory.executions import commit as executions
from goald.adapters.memory.merging import merges
from goald.adapters.memory.used_events import erase_uses
from goald.domain.records.erasure import PSEUDONYM_PREFIX, Tombstone
from goald.ports.change import Change


def erase(tables: MemoryDatabase, change: Change) -> bool:
    """Erase deleted contacts. Returns whether an enrollment was cancelled that is dated after
    its deletion."""
    was_active = False
    for tenant, contact, _slot, at in change.deletions:
        pseudonym = _tombstone(tables, tenant, contact, at)
        erased = set()
        merges.end_forwards(tables, tenant, contact, at)
        for row in tables.enrollments.values():
            if (
                (row.tenant_id, row.contact_id) == (tenant, contact)
                and _began_before(row, at)
                and not tables.is_moving(row)  # then it is of another contact
            ):
                was_active |= row.status == "active" and row.enrolled_at > at
                row.status = "cancelled" if row.status == "active" else row.status
                row.ended_at = row.ended_at or max(at, row.enrolled_at)
                row.contact_id = pseudonym
                row.match_values = None
                tables.missed.pop((tenant, row.id), None)
                erased.add(row.id)
        erase_uses(tables, tenant, contact, at)
        executions.erase(tables, tenant, contact, at, erased)
        for achievement in tables.achievements:
            of = achievement.enrollment
            if of.tenant_id == tenant and of.id in erased:
                achievement.trigger_event = achievement.metadata = "{}"
        for entry in tables.outbox.values():
            if (entry.tenant_id, entry.contact_id) == (tenant, contact) and (
                entry.of_enrollment in erased
            ):
                entry.contact_id = pseudonym
                entry.redact_when_published = entry.published_at is None
                entry.payload = entry.payload if entry.published_at is None else ""
    return was_active


def _tombstone(tables: MemoryDatabase, tenant: str, contact: str, at: int) -> str:
    """Add the tombstone of a contact, and return its pseudonym."""
    before = tables.deleted.get((tenant, contact), Tombstone(at, None))
    pseudonym = before.pseudonym or new_pseudonym()
    tombstone = Tombstone(max(before.deleted_at, at), pseudonym)
    tables.deleted[tenant, contact] = tombstone
    return pseudonym


def _began_before(row: StoredEnrollment, at: int) -> bool:
    """Whether an enrollment began, or may have begun, before its contact was deleted."""
    return began_at(row) <= at or (row.received_at is None and is_end_only(row))


def new_pseudonym() -> str:
    return f"{PSEUDONYM_PREFIX}{uuid4()}"
