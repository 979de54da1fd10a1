"""Transfers (E21): the shard of the contact that continues moves the rows of the merged contact.

The merged contact has a forward, so the shard of its slot changes none of its rows. One transaction
moves the active enrollments; ended ones follow in pages.
"""

import json
from typing import Any, Final

from goald.adapters.postgres.shard.contacts import READ, WRITE
from goald.adapters.postgres.shard.erasure import Tombstones
from goald.domain.contacts.continuing import continue_contact
from goald.domain.contacts.stored import ContactColumns, columns_of, contact_of
from goald.domain.slots import SLOTS, SlotRange
from goald.ports.change import Deletion
from goald.ports.shard_store import RenameContact

ALL_SLOTS: Final = SlotRange(0, SLOTS - 1)
ENDED_ROWS: Final = 1_000

PENDING = """
SELECT id::text, tenant_id, contact_id, into_contact_id FROM goald.transfers
WHERE into_slot BETWEEN $1 AND $2 AND adopted_at IS NULL
ORDER BY created_at, id
"""

LOCKED = """
SELECT tenant_id, contact_id, into_contact_id, into_slot, goald.us(merged_at) AS merged_at,
       goald.us(notified_at) AS notified_at, contact::text, adopted_at IS NOT NULL AS is_adopted
FROM goald.transfers WHERE id = $1::text::uuid AND into_slot BETWEEN $2 AND $3 FOR UPDATE
"""

UNFINISHED = """
SELECT id::text, count(*) OVER () AS total FROM goald.transfers
WHERE into_slot BETWEEN $1 AND $2 AND adopted_at IS NOT NULL
ORDER BY created_at, id LIMIT 1
"""

MOVE_ACTIVE = """
UPDATE goald.workflow_enrollments e
SET contact_id = $3, slot = $4, updated_at = now(),
    used_before = greatest(e.used_before, (
        SELECT max(u.number) FROM goald.used_events u
        WHERE u.tenant_id = $1 AND u.contact_id = $3 AND u.workflow_id = e.workflow_id
          AND u.number < coalesce((
              SELECT min(s.number) FROM goald.used_events s
              WHERE s.tenant_id = $1 AND s.contact_id = $3 AND s.workflow_id = e.workflow_id
                AND s.received_at >= goald.at($5)), u.number + 1))),
    received_at = CASE WHEN coalesce(e.received_at, e.enrolled_at) <= goald.at($6)
                       THEN goald.at($7) ELSE e.received_at END
WHERE e.tenant_id = $1 AND e.contact_id = $2 AND e.ended_at IS NULL
RETURNING e.id
"""
"""Events that counted for the other contact and were received before the merge, at $5, do not count
for these (E11). $6: when the other contact was deleted, if that was before the merge: then the
enrollments began for its new life when they were merged."""

MOVE_ENDED = """
UPDATE goald.workflow_enrollments e
SET contact_id = $3, slot = $4, updated_at = now()
WHERE (e.tenant_id, e.id) IN (
    SELECT o.tenant_id, o.id FROM goald.workflow_enrollments o
    WHERE o.tenant_id = $1 AND o.contact_id = $2 AND o.ended_at IS NOT NULL
    LIMIT $5)
RETURNING e.id
"""

MOVE_ACHIEVEMENTS = """
UPDATE goald.workflow_goal_achievements a
SET contact_id = $3, slot = $4,
    trigger_event = CASE WHEN a.trigger_event ? 'contact_id'
        THEN jsonb_set(a.trigger_event, '{contact_id}', to_jsonb($3::text))
        ELSE a.trigger_event END
WHERE a.tenant_id = $1 AND a.workflow_enrollment_id = ANY ($2::text[])
"""
"""Nothing but the rows of messages contains the merged contact's id afterwards."""

STOP_WAITING = """
UPDATE goald.outbox o SET enrollment_id = NULL
FROM goald.workflow_enrollments e
WHERE o.tenant_id = $1 AND o.contact_id = $2 AND o.enrollment_id = ANY ($3::text[])
  AND o.published_at IS NOT NULL AND e.tenant_id = o.tenant_id AND e.id = o.enrollment_id
  AND e.exit_acknowledged_at IS NOT NULL
"""
"""The shard that published an exit no longer sees that it is acknowledged."""

MOVE_USES = """
WITH uses AS (
    DELETE FROM goald.used_events WHERE tenant_id = $1 AND contact_id = $2
    RETURNING tenant_id, workflow_id, event, enrolled_at, number, used_at, received_at
)
INSERT INTO goald.used_events AS u
    (tenant_id, contact_id, workflow_id, event, slot, enrolled_at, number, used_at, received_at)
SELECT tenant_id, $3, workflow_id, event, $4, enrolled_at, number, used_at, received_at FROM uses
ON CONFLICT (tenant_id, contact_id, workflow_id, event) DO UPDATE SET
    enrolled_at = greatest(u.enrolled_at, excluded.enrolled_at),
    number = least(u.number, excluded.number)
"""
"""An event that counted for one of the two has counted for the contact (E11)."""

MISSED = """
SELECT event::text, payload FROM goald.missed_events WHERE tenant_id = $1 AND contact_id = $2
"""

MOVE_MISSED_EVENTS = """
WITH missed AS (
    DELETE FROM goald.missed_events WHERE tenant_id = $1 AND contact_id = $2
    RETURNING tenant_id, event, entry_id, old_tags, missed_at
)
INSERT INTO goald.missed_events
    (tenant_id, contact_id, event, slot, entry_id, payload, old_tags, missed_at)
SELECT m.tenant_id, $3, m.event, $4, m.entry_id, n.payload, m.old_tags, m.missed_at
FROM missed m JOIN unnest($5::text[], $6::bytea[]) AS n (event, payload) ON n.event::uuid = m.event
ON CONFLICT (tenant_id, contact_id, event) DO NOTHING
"""
"""$6: the events of $5, as events of the other contact."""

MOVE_MISSED_RUNS = """
UPDATE goald.missed_runs SET contact_id = $3, slot = $4 WHERE tenant_id = $1 AND contact_id = $2
"""
"""What the runs of a merged contact missed while their workflows were paused (E19)."""

CANCEL_DELETED = """
UPDATE goald.workflow_enrollments e
SET status = 'cancelled', ended_at = greatest(e.enrolled_at, goald.at($3)), updated_at = now()
WHERE e.tenant_id = $1 AND e.id = ANY ($2::text[]) AND (e.status = 'active') IS TRUE
  AND coalesce(e.received_at, e.enrolled_at) <= goald.at($3)
"""

ADOPTED = "UPDATE goald.transfers SET adopted_at = now(), contact = NULL WHERE id = $1::text::uuid"
FINISH = "DELETE FROM goald.transfers WHERE id = $1::text::uuid"


async def adopt(
    connection: Any, id_: str, slots: SlotRange, tombstones: Tombstones, rename: RenameContact
) -> None:
    """See `ShardStore.adopt`. The transaction of the caller holds the lease of `slots`, and sees
    all slots."""
    row = await connection.fetchrow(LOCKED, id_, slots.first, slots.last)
    if row is None or row["is_adopted"]:
        return
    tenant, contact, into, slot = row[0], row[1], row[2], row[3]
    key = (tenant, into)
    tombstone = (await tombstones.of(connection, slots, [key])).get(key)
    deleted_at = None if tombstone is None else tombstone.deleted_at
    is_deleted = deleted_at is not None and row["merged_at"] <= deleted_at
    moved = await connection.fetch(
        MOVE_ACTIVE, tenant, contact, into, slot, row["notified_at"],
        None if is_deleted else deleted_at, row["merged_at"],
    )  # fmt: skip
    ids = [id_of for (id_of,) in moved]
    await connection.execute(MOVE_USES, tenant, contact, into, slot)
    await _move_missed(connection, tenant, contact, into, slot, rename)
    ended = await _move_ended(connection, tenant, contact, into, slot)
    await connection.execute(MOVE_ACHIEVEMENTS, tenant, ids, into, slot)
    await _continue(connection, row, deleted_at)
    if is_deleted:
        await connection.execute(CANCEL_DELETED, tenant, ids, deleted_at)
        await tombstones.record(connection, [Deletion(tenant, into, slot, deleted_at or 0)])
    await connection.execute(FINISH if ended < ENDED_ROWS else ADOPTED, id_)


async def move_ended(connection: Any, slots: SlotRange) -> int:
    """See `ShardStore.move_ended`."""
    found = await connection.fetchrow(UNFINISHED, slots.first, slots.last)
    if found is None:
        return 0
    id_, total = found
    row = await connection.fetchrow(LOCKED, id_, slots.first, slots.last)
    if await _move_ended(connection, row[0], row[1], row[2], row[3]) < ENDED_ROWS:
        await connection.execute(FINISH, id_)
        total -= 1
    return int(total)


async def _move_ended(connection: Any, tenant: str, contact: str, into: str, slot: int) -> int:
    rows = await connection.fetch(MOVE_ENDED, tenant, contact, into, slot, ENDED_ROWS)
    ids = [id_ for (id_,) in rows]
    if ids:
        await connection.execute(MOVE_ACHIEVEMENTS, tenant, ids, into, slot)
        await connection.execute(STOP_WAITING, tenant, contact, ids)
    return len(ids)


async def _move_missed(
    connection: Any, tenant: str, contact: str, into: str, slot: int, rename: RenameContact
) -> None:
    rows = await connection.fetch(MISSED, tenant, contact)
    if rows:
        events, payloads = [row[0] for row in rows], [rename(row[1], into) for row in rows]
        moved = tenant, contact, into, slot
        await connection.execute(MOVE_MISSED_EVENTS, *moved, events, payloads)
        await connection.execute(MOVE_MISSED_RUNS, *moved)


async def _continue(connection: Any, transfer: Any, deleted_at: int | None) -> None:
    """Write what is known of the two contacts under the id that continues."""
    if transfer["contact"] is None:
        return
    tenant, into = transfer["tenant_id"], transfer["into_contact_id"]
    _, _, by_case, stored, *row = await connection.fetchrow(READ, [tenant], [into])
    merged = contact_of(_columns(json.loads(transfer["contact"])))
    merged.compare_tags(by_case=by_case)
    survivor = None if stored is None else contact_of(ContactColumns(*row))
    if survivor is not None:
        survivor.compare_tags(by_case=by_case)
    contact = continue_contact(survivor, merged)
    if deleted_at is not None and contact.erase(deleted_at):
        return
    columns = [[value] for value in columns_of(contact)]
    await connection.execute(WRITE, [tenant], [into], [transfer["into_slot"]], *columns)


def _columns(row: dict[str, Any]) -> ContactColumns:
    stored = ("attributes", "tags", "stages", "stamps")
    return ContactColumns(**row | {name: json.dumps(row[name]) for name in stored})
