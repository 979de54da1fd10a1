"""Transfers (E21): the shard of the contact that continues moves the rows of the merged contact.

The merged contact has a forward, so the shard of its slot changes none of its rows. They move in
pages, so that no statement takes longer for a contact with more of them: the active enrollments
with their executions, the used events, the entries of workflows, and then the ended enrollments.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

from goald.adapters.postgres.shard.contacts import READ, WRITE
from goald.adapters.postgres.shard.erasure import Tombstones
from goald.adapters.postgres.shard.merging import forwards
from goald.domain.contacts.continuing import continue_contact
from goald.domain.contacts.stored import ContactColumns, columns_of, contact_of
from goald.domain.slots import SLOTS, SlotRange
from goald.ports.change import Deletion
from goald.ports.shard_store import MOST_WAITING, RenameContact

ALL_SLOTS: Final = SlotRange(0, SLOTS - 1)
PAGE_ROWS: Final = 1_000
MISSED_EVENTS: Final = 50
"""Of up to 256 KiB, in memory at the same time."""
RETRY_MINUTES: Final = 5
"""Until a refused transfer is due again."""

DUE = f"""
SELECT t.id::text, t.tenant_id, t.contact_id, t.into_contact_id, t.adopted_at IS NOT NULL
FROM goald.transfers t
WHERE t.into_slot BETWEEN $1 AND $2 AND coalesce(t.retry_at <= now(), true)
ORDER BY t.adopted_at IS NOT NULL,
    row_number() OVER (
        PARTITION BY t.tenant_id, t.adopted_at IS NOT NULL ORDER BY t.created_at, t.id),
    t.created_at, t.id
LIMIT {MOST_WAITING}
"""
"""No tenant delays another."""

REFUSE = f"""
UPDATE goald.transfers
SET reason = $2, refused_at = coalesce(refused_at, now()),
    retry_at = now() + interval '{RETRY_MINUTES} minutes'
WHERE id = $1::text::uuid
"""

LOCKED = """
SELECT t.tenant_id, t.contact_id, t.slot, t.into_contact_id, t.into_slot,
       goald.us(t.merged_at) AS merged_at, t.merges, t.created_at, t.contact::text,
       t.adopted_at IS NOT NULL AS is_adopted, earlier.created_at AS since,
       earlier.merged_at AS entered_after
FROM goald.transfers t
CROSS JOIN LATERAL (
    SELECT max(o.created_at) AS created_at,
           max(o.merged_at) FILTER (WHERE o.adopted_at IS NULL) AS merged_at
    FROM goald.transfers o
    WHERE o.tenant_id = t.tenant_id AND o.contact_id = t.contact_id
      AND o.created_at < t.created_at) AS earlier
WHERE t.id = $1::text::uuid AND t.into_slot BETWEEN $2 AND $3 FOR UPDATE OF t
"""
"""`since` and `entered_after`: until when rows of this contact are of an earlier life, and belong
to a transfer that has not finished. NULL without one."""

MOVE_ACTIVE = """
WITH page AS MATERIALIZED (
    SELECT o.id FROM goald.workflow_enrollments o
    WHERE o.tenant_id = $1 AND o.contact_id = $2 AND o.ended_at IS NULL AND o.created_at <= $8
      AND coalesce(o.created_at > $9, true)
    LIMIT $5
)
UPDATE goald.workflow_enrollments e
SET contact_id = $3, slot = $4, updated_at = now(),
    merges = goald.join_merges(coalesce(e.merges, '{}'), $6::int8[]),
    received_at = CASE WHEN coalesce(e.received_at, e.enrolled_at) < goald.at($7)
                       THEN goald.at($7) ELSE e.received_at END
FROM page p
WHERE e.tenant_id = $1 AND e.id = p.id
RETURNING e.id
"""
"""$7: the merge, when they began for the other contact, so that an earlier deletion of it does not
cover them. $8: when the transfer was added: later enrollments are of a new life of the merged
contact. $9: when an earlier transfer was added that has not finished: it moves those until then."""

MOVE_ENDED = """
UPDATE goald.workflow_enrollments e
SET contact_id = $3, slot = $4, updated_at = now(),
    merges = goald.join_merges(coalesce(e.merges, '{}'), $6::int8[]),
    received_at = CASE WHEN coalesce(e.received_at, e.enrolled_at) < goald.at($7)
                       THEN goald.at($7) ELSE e.received_at END
WHERE (e.tenant_id, e.id) IN (
    SELECT o.tenant_id, o.id FROM goald.workflow_enrollments o
    WHERE o.tenant_id = $1 AND o.contact_id = $2 AND o.ended_at IS NOT NULL
      AND o.created_at <= $8 AND coalesce(o.created_at > $9, true)
    ORDER BY o.ended_at DESC
    LIMIT $5)
RETURNING e.id
"""
"""$6 to $9: as for MOVE_ACTIVE. The latest ones first. `adopt` moves more of them than
may be watched (E18), so none of these is left behind."""

MOVE_ACHIEVEMENTS = """
UPDATE goald.workflow_goal_achievements a
SET contact_id = $3, slot = $4,
    trigger_event = CASE WHEN a.trigger_event ? 'contact_id'
        THEN jsonb_set(a.trigger_event, '{contact_id}', to_jsonb($3::text))
        ELSE a.trigger_event END
WHERE a.tenant_id = $1 AND a.workflow_enrollment_id = ANY ($2::text[])
"""
"""Nothing but the rows of messages contains the merged contact's id afterwards."""

MOVE_EXECUTIONS = """
UPDATE goald.workflow_executions x SET contact_id = $3, slot = $4
WHERE x.tenant_id = $1 AND x.id = ANY ($2::text[])
"""
"""Their logs have neither contact nor a slot that matters."""

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
    DELETE FROM goald.used_events d
    WHERE (d.tenant_id, d.contact_id, d.workflow_id, d.event) IN (
        SELECT o.tenant_id, o.contact_id, o.workflow_id, o.event FROM goald.used_events o
        WHERE o.tenant_id = $1 AND o.contact_id = $2 AND o.used_at <= $8
          AND coalesce(o.used_at > $9, true)
        LIMIT $5)
    RETURNING tenant_id, workflow_id, event, enrolled_at, number, used_at, received_at, merges
), moved AS (
    INSERT INTO goald.used_events AS u
        (tenant_id, contact_id, workflow_id, event, slot, enrolled_at, number, used_at,
         received_at, merges)
    SELECT tenant_id, $3, workflow_id, event, $4, greatest(enrolled_at, goald.at($7)), number,
           used_at, received_at, goald.join_merges(coalesce(merges, '{}'), $6::int8[])
    FROM uses
    ON CONFLICT (tenant_id, contact_id, workflow_id, event) DO UPDATE SET
        enrolled_at = greatest(u.enrolled_at, excluded.enrolled_at),
        number = least(u.number, excluded.number)
)
SELECT count(*) FROM uses
"""
"""An event that counted for one of the two has counted for the contact (E11). $7 to $9: as for
MOVE_ACTIVE."""

DROP_USES = """
WITH uses AS (
    DELETE FROM goald.used_events d
    WHERE (d.tenant_id, d.contact_id, d.workflow_id, d.event) IN (
        SELECT o.tenant_id, o.contact_id, o.workflow_id, o.event FROM goald.used_events o
        WHERE o.tenant_id = $1 AND o.contact_id = $2 AND o.used_at <= $4
          AND coalesce(o.used_at > $5, true)
        LIMIT $3)
    RETURNING 1
)
SELECT count(*) FROM uses
"""
"""If the other contact was deleted since the merge, its id may have begun a new life, for which
these events have not counted."""

MOVE_ENTRIES = """
WITH entries AS (
    DELETE FROM goald.workflow_entries d
    WHERE (d.tenant_id, d.contact_id, d.workflow_id) IN (
        SELECT o.tenant_id, o.contact_id, o.workflow_id FROM goald.workflow_entries o
        WHERE o.tenant_id = $1 AND o.contact_id = $2
          AND coalesce(o.last_started_at > $7, true)
          AND coalesce(o.last_started_at <= goald.at($6), true)
        LIMIT $5)
    RETURNING tenant_id, workflow_id, last_started_at, last_ended_at
), moved AS (
    INSERT INTO goald.workflow_entries AS w
        (tenant_id, contact_id, workflow_id, slot, last_started_at, last_ended_at)
    SELECT tenant_id, $3, workflow_id, $4, last_started_at, last_ended_at FROM entries
    WHERE $6::int8 IS NULL
    ON CONFLICT (tenant_id, contact_id, workflow_id) DO UPDATE SET
        last_started_at = greatest(w.last_started_at, excluded.last_started_at),
        last_ended_at = greatest(w.last_ended_at, excluded.last_ended_at)
)
SELECT count(*) FROM entries
"""
"""The later start of the two counts (X9). $6: when the other contact was deleted since the merge:
later entries are of a new life of the merged contact. $7: those until then belong to an earlier
transfer."""

MISSED = f"""
SELECT m.event::text, m.payload FROM goald.missed_events m
WHERE m.tenant_id = $1 AND m.contact_id = $2 AND EXISTS (
    SELECT FROM goald.missed_runs r
    WHERE r.tenant_id = m.tenant_id AND r.contact_id = m.contact_id AND r.event = m.event
      AND r.enrollment_id = ANY ($3::text[]))
LIMIT {MISSED_EVENTS}
"""
"""Events that these enrollments missed and that have not moved with them."""

LOCK_USAGE = """
SELECT FROM goald.missed_usage
WHERE tenant_id = $1 AND slot = ANY ($2::int2[]) ORDER BY slot FOR UPDATE
"""
"""Locks what the triggers of MOVE_MISSED and DROP_MISSED change, in the order of the slots. So a
transfer in the opposite direction cannot wait for this one while this one waits for it."""

MOVE_MISSED = """
WITH moved AS (
    UPDATE goald.missed_runs r SET contact_id = $3, slot = $4
    WHERE r.tenant_id = $1 AND r.contact_id = $2 AND r.event = ANY ($6::text[]::uuid[])
      AND r.enrollment_id = ANY ($5::text[])
)
INSERT INTO goald.missed_events
    (tenant_id, contact_id, event, slot, entry_id, payload, old_tags, missed_at)
SELECT m.tenant_id, $3, m.event, $4, m.entry_id, n.payload, m.old_tags, m.missed_at
FROM unnest($6::text[], $7::bytea[]) AS n (event, payload)
JOIN goald.missed_events m
    ON m.tenant_id = $1 AND m.contact_id = $2 AND m.event = n.event::uuid
ON CONFLICT (tenant_id, contact_id, event) DO NOTHING
"""
"""What the enrollments $5 missed while their workflows were paused (E19). $7: the events $6, as
events of the other contact."""

DROP_MISSED = """
DELETE FROM goald.missed_events m
WHERE m.tenant_id = $1 AND m.contact_id = $2 AND m.event = ANY ($3::text[]::uuid[])
  AND NOT EXISTS (
    SELECT FROM goald.missed_runs r
    WHERE r.tenant_id = m.tenant_id AND r.contact_id = m.contact_id AND r.event = m.event)
"""
"""Removes events that no enrollment of the merged contact missed any more."""

CANCEL_DELETED = """
UPDATE goald.workflow_enrollments e
SET status = 'cancelled', ended_at = greatest(e.enrolled_at, goald.at($3)), updated_at = now()
WHERE e.tenant_id = $1 AND e.id = ANY ($2::text[]) AND (e.status = 'active') IS TRUE
  AND coalesce(e.received_at, e.enrolled_at) <= goald.at($3)
"""

CANCEL_EXECUTIONS = """
UPDATE goald.workflow_executions x
SET status = 'CANCELLED', completion_reason = 'contact_deleted', gate = NULL, ended_at = now(),
    updated_at = now()
FROM goald.workflow_enrollments e
WHERE x.tenant_id = $1 AND x.id = ANY ($2::text[]) AND x.ended_at IS NULL
  AND e.tenant_id = x.tenant_id AND e.id = x.id AND e.ended_at IS NOT NULL
"""
"""Execute it after CANCEL_DELETED, in a separate statement."""

ADOPTED = """
UPDATE goald.transfers
SET adopted_at = now(), contact = NULL, reason = NULL, refused_at = NULL, retry_at = NULL
WHERE id = $1::text::uuid
"""
FINISH = "DELETE FROM goald.transfers WHERE id = $1::text::uuid"


async def adopt(
    connection: Any, id_: str, slots: SlotRange, tombstones: Tombstones, rename: RenameContact
) -> bool:
    """See `ShardStore.adopt`. The transaction of the caller holds the lease of `slots`, and sees
    all slots."""
    row = await connection.fetchrow(LOCKED, id_, slots.first, slots.last)
    if row is None or row["is_adopted"]:
        return False
    move = _Move(connection, row, rename)
    key = (row["tenant_id"], row["into_contact_id"])
    tombstone = (await tombstones.of(connection, slots, [key])).get(key)
    deleted_at = None if tombstone is None else tombstone.deleted_at
    if deleted_at is not None and deleted_at < row["merged_at"]:
        deleted_at = None
    is_deleted = deleted_at is not None
    ids = await move.active()
    if is_deleted:
        await connection.execute(CANCEL_DELETED, row["tenant_id"], ids, deleted_at)
        await connection.execute(CANCEL_EXECUTIONS, row["tenant_id"], ids)
    if len(ids) == PAGE_ROWS or await move.uses(is_deleted=is_deleted) == PAGE_ROWS:
        return True
    if await move.entries(deleted_at) == PAGE_ROWS:
        return True
    await _continue(connection, row, deleted_at)
    if deleted_at is not None:
        deletions = [Deletion(*key, row["into_slot"], deleted_at)]
        await tombstones.record(connection, deletions)
        await forwards.end(connection, deletions)  # of a merge that was committed meanwhile
    await connection.execute(FINISH if await move.ended() < PAGE_ROWS else ADOPTED, id_)
    return False


async def move_ended(connection: Any, id_: str, slots: SlotRange, rename: RenameContact) -> bool:
    """See `ShardStore.move_ended`."""
    row = await connection.fetchrow(LOCKED, id_, slots.first, slots.last)
    if row is None or not row["is_adopted"]:
        return False
    if await _Move(connection, row, rename).ended() == PAGE_ROWS:
        return True
    await connection.execute(FINISH, id_)
    return False


class _Move:
    """Moves pages of the rows of one contact to another, in the transaction of the caller."""

    def __init__(self, connection: Any, transfer: Any, rename: RenameContact) -> None:
        """`transfer`: a row of LOCKED."""
        self._connection = connection
        self._rename = rename
        names = "tenant_id", "contact_id", "into_contact_id", "into_slot"
        self._moved = tuple(transfer[name] for name in names)
        self._slot = transfer["slot"]
        self._merge = transfer["merges"], transfer["merged_at"]
        self._until = transfer["created_at"], transfer["since"]
        self._entered_after = transfer["entered_after"]

    async def active(self) -> Sequence[str]:
        """Move active enrollments. Returns their ids."""
        moved = *self._moved, PAGE_ROWS, *self._merge, *self._until
        rows = await self._connection.fetch(MOVE_ACTIVE, *moved)
        return await self._follow([id_ for (id_,) in rows])

    async def uses(self, *, is_deleted: bool) -> int:
        """Move used events, or remove them if the other contact was deleted since the merge.
        Returns their number."""
        statement, arguments = MOVE_USES, (*self._moved, PAGE_ROWS, *self._merge, *self._until)
        if is_deleted:
            statement, arguments = DROP_USES, (*self._moved[:2], PAGE_ROWS, *self._until)
        number: int = await self._connection.fetchval(statement, *arguments)
        return number

    async def entries(self, deleted_at: int | None) -> int:
        """Move the entries of workflows, or remove those until the other contact was deleted.
        Returns their number."""
        arguments = *self._moved, PAGE_ROWS, deleted_at, self._entered_after
        number: int = await self._connection.fetchval(MOVE_ENTRIES, *arguments)
        return number

    async def ended(self) -> int:
        """Move ended enrollments. Returns their number."""
        moved = *self._moved, PAGE_ROWS, *self._merge, *self._until
        rows = await self._connection.fetch(MOVE_ENDED, *moved)
        ids = await self._follow([id_ for (id_,) in rows])
        if ids:
            tenant, contact, *_ = self._moved
            await self._connection.execute(STOP_WAITING, tenant, contact, ids)
        return len(ids)

    async def _follow(self, ids: Sequence[str]) -> Sequence[str]:
        """Let the rows that belong to these enrollments follow them."""
        if not ids:
            return ids
        tenant, contact, into, slot = self._moved
        await self._connection.execute(MOVE_ACHIEVEMENTS, tenant, ids, into, slot)
        await self._connection.execute(MOVE_EXECUTIONS, tenant, ids, into, slot)
        while rows := await self._connection.fetch(MISSED, tenant, contact, ids):
            await self._connection.execute(LOCK_USAGE, tenant, [self._slot, slot])
            events = [event for event, _ in rows]
            payloads = [self._rename(payload, into) for _, payload in rows]
            await self._connection.execute(MOVE_MISSED, *self._moved, ids, events, payloads)
            await self._connection.execute(DROP_MISSED, tenant, contact, events)
        return ids


async def _continue(connection: Any, transfer: Any, deleted_at: int | None) -> None:
    """Write what is known of the two contacts under the id that continues."""
    if transfer["contact"] is None:
        return
    tenant, into = transfer["tenant_id"], transfer["into_contact_id"]
    _, _, by_case, stored, *row = await connection.fetchrow(READ, [tenant], [into])
    merged = contact_of(_columns(json.loads(transfer["contact"])))
    merged.compare_tags(by_case=by_case)
    if deleted_at is not None and merged.erase(deleted_at):
        return
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
