"""Marks enrollments whose payment was refunded, or whose appointment was cancelled (E13, E15)."""

from collections.abc import Mapping, Sequence
from typing import Any

from goald.adapters.postgres.shard import statements
from goald.adapters.postgres.shard.erasure import Contact
from goald.domain.records.erasure import Tombstone
from goald.domain.records.reversal import refund_notice
from goald.domain.streams import OutboundStream
from goald.ports.change import Reversal
from goald.ports.outbound import Message
from goald.ports.outbox import StoredMessage


async def undo(
    connection: Any,
    reversals: Sequence[Reversal],
    deleted: Mapping[Contact, Tombstone],
    publishes_refunds: bool,
) -> list[StoredMessage]:
    """Apply reversals in order, in the transaction of the caller. Returns the notices about
    refunds, if they are published. A repeated reversal finds its enrollments marked, and changes
    nothing.

    `deleted`: the tombstones of their contacts, whose rows may not be erased yet.
    """
    notices = []
    for reversal in reversals:
        tombstone = deleted.get((reversal.tenant_id, reversal.contact_id))
        rows = await connection.fetch(
            statements.REVERSE[reversal.goal_type], reversal.tenant_id, reversal.contact_id,
            reversal.reversed_at, reversal.reference,
            None if tombstone is None else tombstone.deleted_at,
        )  # fmt: skip
        if rows and publishes_refunds and reversal.goal_type == "purchase_made":
            notices += await _enqueue(connection, reversal, rows)
    return notices


async def _enqueue(
    connection: Any, of: Reversal, rows: Sequence[tuple[str, str]]
) -> list[StoredMessage]:
    notices = [
        refund_notice(of.tenant_id, of.contact_id, workflow, enrollment, of.reversed_at)
        for enrollment, workflow in rows
    ]
    count, stream = len(rows), OutboundStream.NOTICES
    numbers = await connection.fetch(
        statements.INSERT_OUTBOX,
        [of.tenant_id] * count,
        [of.slot] * count,
        [of.contact_id] * count,
        [notice_id for notice_id, _ in notices],
        [stream] * count,
        [payload for _, payload in notices],
        [enrollment for enrollment, _ in rows],
        [False] * count,
    )
    return [
        StoredMessage(number, Message(stream, payload))
        for (number,), (_, payload) in zip(numbers, notices, strict=True)
    ]
