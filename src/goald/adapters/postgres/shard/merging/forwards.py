"""The forwards of merged contacts (E21)."""

from collections.abc import Collection, Sequence
from typing import Any, Final

from goald.adapters.postgres.shard.erasure import Tombstones
from goald.domain.contacts.forwards import Forward, forward_key
from goald.domain.slots import SlotRange
from goald.ports.change import Deletion
from goald.ports.shard_store import PassedOn

READ_KEY = "SELECT secret FROM goald.forward_secret"

CHANGED = """
SELECT tenant_id, key::text, into_contact_id, merges, number FROM goald.forwards
WHERE number > $1 AND slot BETWEEN $2 AND $3 ORDER BY number
"""

ENDED = """
SELECT n.place - 1
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
    WITH ORDINALITY AS n (tenant_id, key, into_contact_id, into_key, place)
LEFT JOIN goald.forwards f ON f.tenant_id = n.tenant_id AND f.key = n.key::uuid
LEFT JOIN goald.forwards i ON i.tenant_id = n.tenant_id AND i.key = n.into_key::uuid
WHERE f.into_contact_id IS DISTINCT FROM coalesce(i.into_contact_id, n.into_contact_id)
"""
"""The places of those that do not lead to the end of the same chain: a forward leads to the end."""

END = """
UPDATE goald.forwards f
SET into_contact_id = NULL, deleted_at = goald.at(n.at), number = nextval('goald.forward_number')
FROM (
    SELECT d.tenant_id, d.contact_id, max(d.at) AS at
    FROM unnest($1::text[], $2::text[], $3::int8[]) AS d (tenant_id, contact_id, at)
    GROUP BY d.tenant_id, d.contact_id) n
WHERE f.tenant_id = n.tenant_id AND f.into_contact_id = n.contact_id
  AND f.merged_at <= goald.at(n.at)
"""
"""The contacts that were merged into a deleted one begin a new life."""

INHERIT = """
INSERT INTO goald.erasures AS e
    (mark, tenant_id, slot, deleted_at, pseudonym, requested_at, last_requested_at, used_before)
SELECT f.mark, f.tenant_id, f.slot, f.deleted_at, 'erased:' || gen_random_uuid(), now(), now(),
       nextval('goald.used_event_number')
FROM goald.forwards f
WHERE f.number > $1 AND f.slot BETWEEN $2 AND $3 AND f.into_contact_id IS NULL
  AND f.mark IS NOT NULL AND f.deleted_at IS NOT NULL AND NOT EXISTS (
    SELECT FROM goald.erasures k WHERE k.mark = f.mark AND k.deleted_at >= f.deleted_at)
ORDER BY f.mark
ON CONFLICT (mark) DO UPDATE SET deleted_at = excluded.deleted_at,
    pseudonym = coalesce(e.pseudonym, excluded.pseudonym),
    requested_at = CASE WHEN e.finished_at IS NULL THEN e.requested_at
                        ELSE excluded.requested_at END,
    last_requested_at = excluded.last_requested_at, finished_at = NULL
RETURNING 1
"""
"""The deletion of the contact that continued was one of the merged contacts too: adds their
tombstones. Their enrollments of that time have moved. Rows of the previous release have no mark."""

OVERLAP: Final = 1_000
"""Numbers that are read again: those of transactions that were in flight."""


async def secret(connection: Any) -> str:
    """See `ShardStore.forward_secret`."""
    found: str = await connection.fetchval(READ_KEY)
    return found


async def ended(connection: Any, contacts: Collection[PassedOn]) -> set[PassedOn]:
    """See `ShardStore.ended_forwards`. The transaction of the caller holds the lease of the slots
    of the contacts that continue, whose deletions end forwards."""
    of, key_secret = list(contacts), await secret(connection)
    rows = await connection.fetch(
        ENDED,
        [each.tenant_id for each in of],
        [forward_key(key_secret, each.tenant_id, each.contact_id) for each in of],
        [each.into_contact_id for each in of],
        [forward_key(key_secret, each.tenant_id, each.into_contact_id) for each in of],
    )
    return {of[place] for (place,) in rows}


async def end(connection: Any, deletions: Sequence[Deletion]) -> None:
    """End the forwards to deleted contacts, in the transaction of the deletions."""
    rows = [(row.tenant_id, row.contact_id, row.deleted_at) for row in deletions]
    await connection.execute(END, *map(list, zip(*rows, strict=True)))


async def changed(
    connection: Any, slots: SlotRange, after: int, tombstones: Tombstones
) -> tuple[Sequence[Forward], int]:
    """See `ShardStore.forwards`. The transaction of the caller holds the lease of `slots`."""
    since = after - OVERLAP, slots.first, slots.last
    if await connection.fetch(INHERIT, *since):
        tombstones.added()
    rows = await connection.fetch(CHANGED, *since)
    forwards = [Forward(row[0], row[1], row[2], tuple(row[3])) for row in rows]
    return forwards, max((row["number"] for row in rows), default=after)
