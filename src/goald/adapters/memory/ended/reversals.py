"""Marks enrollments whose payment was refunded, or whose appointment was cancelled (E13, E15)."""

import json
from typing import Any

from goald.adapters.memory.database import (
    MemoryDatabase,
    OutboxEntry,
    StoredAchievement,
    StoredEnrollment,
)
from goald.domain.records.reversal import refund_notice
from goald.domain.streams import OutboundStream
from goald.ports.change import Reversal
from goald.ports.outbound import Message
from goald.ports.outbox import StoredMessage

_REFERENCE = {"purchase_made": "payment_id", "appointment_booked": "appointment_id"}
_COLUMN = {"purchase_made": "refunded_at", "appointment_booked": "appointment_cancelled_at"}


def undo(
    tables: MemoryDatabase, reversal: Reversal, publishes_refunds: bool, now: float
) -> list[StoredMessage]:
    """Apply a reversal. Returns the notices about refunds, if they are published."""
    found = [
        row
        for row in tables.achievements
        if (row.enrollment.tenant_id, row.enrollment.contact_id) == reversal[:2]
        and row.goal_type == reversal.goal_type
    ]
    undone = _event(found, reversal)
    column = _COLUMN[reversal.goal_type]
    marked = []
    for row in found:
        of = row.enrollment
        is_completed = of.status == "completed_goal" and getattr(of, column) is None
        if undone is not None and _identity(row) == undone and is_completed:
            setattr(of, column, reversal.reversed_at)
            marked.append(of)
    if not publishes_refunds or reversal.goal_type != "purchase_made":
        return []
    return [_enqueue(tables, reversal, of, now) for of in marked]


def _event(found: list[StoredAchievement], reversal: Reversal) -> Any:
    """The identity of the event to undo: that with the reference, else the newest one."""
    ranked = []
    for number, row in enumerate(found):
        reference = json.loads(row.trigger_event).get(_REFERENCE[reversal.goal_type])
        # As ->> in Postgres: an id may be an integer.
        reference = None if reference is None else str(reference)
        is_other = None not in (reference, reversal.reference) and reference != reversal.reference
        if row.achieved_at <= reversal.reversed_at and not is_other:
            is_named = reference is not None and reference == reversal.reference
            ranked.append((is_named, row.achieved_at, number, _identity(row)))
    return max(ranked)[3] if ranked else None


def _identity(row: StoredAchievement) -> tuple[Any, Any]:
    metadata = json.loads(row.metadata)
    return metadata.get("source"), metadata.get("event_id")


def _enqueue(
    tables: MemoryDatabase, reversal: Reversal, of: StoredEnrollment, now: float
) -> StoredMessage:
    _, payload = refund_notice(
        of.tenant_id, of.contact_id, of.workflow_id, of.id, reversal.reversed_at
    )
    number, stream = tables.next_number(), OutboundStream.NOTICES
    tables.outbox[number] = OutboxEntry(
        number, of.tenant_id, of.contact_id, of.slot, stream, payload, of.id, created_at=now
    )
    return StoredMessage(number, Message(stream, payload))
