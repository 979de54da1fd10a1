"""The statements of a deletion, in the transaction of its event, and their guarantees.

They execute as goald_shard and see only the slots of the transaction. Their work does not depend
on the number of the contact's rows.
"""

EXIST = "SELECT EXISTS (SELECT FROM goald.erasures WHERE slot BETWEEN $1 AND $2)"
"""Whether any contact of these slots was deleted."""

TOMBSTONES = """
WITH n AS MATERIALIZED (
    SELECT place, goald.contact_mark(tenant_id, contact_id) AS mark
    FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS n (tenant_id, contact_id, place)
)
SELECT n.place, goald.us(t.deleted_at), t.pseudonym
FROM n JOIN goald.erasures t ON t.mark = n.mark
"""
"""The tombstones of these contacts, by their place in the input. Marks are computed first, because
under row security the index is not used for an expression with a function."""

MARKS = """
SELECT goald.contact_mark(tenant_id, contact_id)
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS n (tenant_id, contact_id, place)
ORDER BY place
"""

RECORD = """
INSERT INTO goald.erasures AS e
    (mark, tenant_id, slot, deleted_at, pseudonym, requested_at, last_requested_at, contact_id,
     used_before)
SELECT n.mark, n.tenant_id, n.slot, goald.at(n.at), n.pseudonym, now(), now(), n.contact_id,
       nextval('goald.used_event_number')
FROM unnest($1::bytea[], $2::text[], $3::int2[], $4::int8[], $5::text[], $6::text[])
    AS n (mark, tenant_id, slot, at, pseudonym, contact_id)
ORDER BY n.mark
ON CONFLICT (mark) DO UPDATE SET
    deleted_at = greatest(e.deleted_at, excluded.deleted_at),
    pseudonym = coalesce(e.pseudonym, excluded.pseudonym),
    requested_at = CASE WHEN e.finished_at IS NULL THEN e.requested_at
                        ELSE excluded.requested_at END,
    last_requested_at = excluded.last_requested_at,
    contact_id = excluded.contact_id,
    used_before = CASE WHEN e.contact_id IS NOT NULL AND e.deleted_at >= excluded.deleted_at
                       THEN e.used_before ELSE excluded.used_before END,
    finished_at = NULL
"""
"""Adds tombstones, or requests an erasure again: $1 are the marks. The greatest time is kept, so
that deletions may be read in any order. Locks in the order of the marks, as FINISH does.

An enrollment whose `used_before` is greater than that of the tombstone was inserted after the
deletion. A repeated deletion does not change the number while rows contain the contact."""

CANCEL_AHEAD = """
WITH cancelled AS (
    UPDATE goald.workflow_enrollments e
    SET status = 'cancelled', ended_at = e.enrolled_at, updated_at = now()
    FROM unnest($1::text[], $2::text[], $3::int8[]) AS n (tenant_id, contact_id, at)
    WHERE e.tenant_id = n.tenant_id AND e.contact_id = n.contact_id
      AND e.status = 'active' AND e.received_at IS NOT NULL
      AND e.received_at <= goald.at(n.at) AND e.enrolled_at > goald.at(n.at)
      AND NOT EXISTS (SELECT FROM goald.transfers t
                      WHERE t.tenant_id = e.tenant_id AND t.contact_id = e.contact_id
                        AND t.created_at >= e.created_at)
    RETURNING 1
) SELECT EXISTS (SELECT FROM cancelled)
"""
"""Cancels the active enrollments that goald received at or before the deletion, and that are dated
after it. Memory does not contain when they were received. Reads the few rows of the index of
active enrollments that are dated ahead."""
