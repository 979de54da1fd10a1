"""Reads the forwards of merged contacts (E21)."""

from collections.abc import Sequence
from typing import Any, Final

from goald.domain.contacts.forwards import Forward
from goald.domain.slots import SlotRange

READ_KEY = "SELECT secret FROM goald.forward_secret"

CHANGED = """
SELECT tenant_id, key::text, into_contact_id, number FROM goald.forwards
WHERE number > $1 AND slot BETWEEN $2 AND $3 ORDER BY number
"""

OVERLAP: Final = 1_000
"""Numbers that are read again: those of transactions that were in flight."""


async def secret(connection: Any) -> str:
    """See `ShardStore.forward_secret`."""
    found: str = await connection.fetchval(READ_KEY)
    return found


async def changed(connection: Any, slots: SlotRange, after: int) -> tuple[Sequence[Forward], int]:
    """See `ShardStore.forwards`."""
    rows = await connection.fetch(CHANGED, after - OVERLAP, slots.first, slots.last)
    return [Forward(*row[:3]) for row in rows], max((row["number"] for row in rows), default=after)
