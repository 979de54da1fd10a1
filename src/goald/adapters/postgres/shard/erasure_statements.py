"""The statements that erase deleted contacts, and their guarantees.

They execute as goald_shard and see only the slots of the transaction. $1: tenants. $2: contacts.
$3: the times of the deletions, in microseconds. $4: pseudonyms.
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

PLAN_EACH_TIME = "SET LOCAL plan_cache_mode = force_custom_plan"
"""Plans the following statements of the transaction with their parameters, because the best of the
indexes that begin with the tenant depends on the number of its rows."""

MARKS = """
SELECT goald.contact_mark(tenant_id, contact_id)
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS n (tenant_id, contact_id, place)
ORDER BY place
"""

RECORD = """
INSERT INTO goald.erasures AS e
    (mark, tenant_id, slot, deleted_at, pseudonym, requested_at, last_requested_at)
SELECT n.mark, n.tenant_id, n.slot, goald.at(n.at), n.pseudonym, now(), now()
FROM unnest($1::bytea[], $2::text[], $3::int2[], $4::int8[], $5::text[])
    AS n (mark, tenant_id, slot, at, pseudonym)
ORDER BY n.mark
ON CONFLICT (mark) DO UPDATE SET
    deleted_at = greatest(e.deleted_at, excluded.deleted_at),
    pseudonym = coalesce(e.pseudonym, excluded.pseudonym),
    requested_at = CASE WHEN e.finished_at IS NULL THEN e.requested_at
                        ELSE excluded.requested_at END,
    last_requested_at = excluded.last_requested_at,
    finished_at = NULL
RETURNING mark, pseudonym
"""
"""Adds tombstones, or requests an erasure again: $1 are the marks. The greatest time is kept, so
that deletions may be read in any order. Returns the pseudonym that the contact has. Locks in the
order of the marks, as FINISH does."""

_DELETED = """
unnest($1::text[], $2::text[], $3::int8[]{types}) AS n (tenant_id, contact_id, at{names})
"""
_WITH_PSEUDONYMS = _DELETED.format(types=", $4::text[]", names=", pseudonym")

_IS_OF_THE_DELETED = """
(e.enrolled_at <= goald.at(n.at)
 OR e.ended_at = e.enrolled_at AND e.status <> 'completed_goal' AND e.met_goals = '{}')
"""
"""Whether an enrollment of a deleted contact began before the deletion. If only the end of an
enrollment is known, it may have begun before."""

ANY_ACTIVE = f"""
SELECT EXISTS (
    SELECT FROM {_DELETED.format(types="", names="")}
    JOIN goald.workflow_enrollments e
        ON e.tenant_id = n.tenant_id AND e.contact_id = n.contact_id
    WHERE (e.status = 'active') IS TRUE AND e.enrolled_at <= goald.at(n.at)
)
"""
"""IS TRUE keeps the planner from the index of active rows, which would read all of them."""

ERASE_ACHIEVEMENTS = f"""
UPDATE goald.workflow_goal_achievements a
SET contact_id = n.pseudonym, trigger_event = '{{}}', metadata = '{{}}'
FROM {_WITH_PSEUDONYMS}
WHERE a.tenant_id = n.tenant_id AND a.contact_id = n.contact_id AND EXISTS (
    SELECT FROM goald.workflow_enrollments e
    WHERE e.tenant_id = a.tenant_id AND e.id = a.workflow_enrollment_id AND {_IS_OF_THE_DELETED})
"""
"""Removes the contact and the event data, at any time of the events. Execute it before
ERASE_ENROLLMENTS."""

ERASE_ENROLLMENTS = f"""
UPDATE goald.workflow_enrollments e
SET contact_id = n.pseudonym, updated_at = now(),
    status = CASE e.status WHEN 'active' THEN 'cancelled' ELSE e.status END,
    ended_at = coalesce(e.ended_at, goald.at(n.at))
FROM {_WITH_PSEUDONYMS}
WHERE e.tenant_id = n.tenant_id AND e.contact_id = n.contact_id AND {_IS_OF_THE_DELETED}
"""
"""Removes the contact; status, times and goals stay for the statistics. Cancels what is still
active, so that no active enrollment is without its contact."""

ERASE_USED_EVENTS = f"""
DELETE FROM goald.used_events u
USING {_WITH_PSEUDONYMS}
WHERE u.tenant_id = n.tenant_id AND u.contact_id = n.contact_id
  AND u.enrolled_at <= goald.at(n.at) AND NOT EXISTS (
    SELECT FROM goald.workflow_enrollments e
    WHERE e.tenant_id = u.tenant_id AND e.contact_id = u.contact_id
      AND e.workflow_id = u.workflow_id AND e.used_before >= u.number
      AND (e.status = 'active') IS TRUE)
"""
"""Keeps the events that an active enrollment of a later contact under the same id excludes. Execute
it after ERASE_ENROLLMENTS."""

ERASE_OUTBOX = f"""
UPDATE goald.outbox o
SET contact_id = n.pseudonym,
    payload = CASE WHEN o.published_at IS NULL THEN o.payload ELSE '' END,
    redact_when_published = o.published_at IS NULL
FROM {_WITH_PSEUDONYMS}
WHERE o.tenant_id = n.tenant_id AND o.contact_id = n.contact_id AND (
    o.of_enrollment_id IS NULL OR EXISTS (
        SELECT FROM goald.workflow_enrollments e
        WHERE e.tenant_id = o.tenant_id AND e.id = o.of_enrollment_id
          AND e.contact_id = n.pseudonym))
"""
"""Redacts published rows now, and the others when they are marked (MARK_PUBLISHED), because an
empty message must not be published. Execute it after ERASE_ENROLLMENTS. Keeps the messages of
enrollments that began after the deletion."""
