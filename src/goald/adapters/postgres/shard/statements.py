"""The statements of the shard's store and of the leases, and their guarantees.

Times are microseconds since the epoch; goald.at and goald.us convert them. All statements except
those of the dry run execute as goald_shard and see only the slots given to `begin_for`. Without
such slots, a transaction fails when it reads or writes a tenant's row.
"""

from collections.abc import Mapping
from typing import Final

from goald.domain.configuration.goals import GoalType

# Leases ---------------------------------------------------------------------------------

LOCK_LEASES = "SELECT pg_advisory_xact_lock(hashtext('goald.leases'))"
"""Serialises takeovers until the end of the transaction. Holders do not take this lock."""

_LEASE = """
SELECT epoch, holder, backend_pid, extract(epoch FROM expires_at)::float8 AS renewed,
       expires_at <= clock_timestamp() AS is_expired
FROM goald.leases
"""

OVERLAPPING = _LEASE + "WHERE slots && int4range($1, $2, '[]')"
"""The leases that overlap a range of slots."""

OF_STREAM = _LEASE + "WHERE stream = $1"
"""The lease of a stream."""

REMOVE_OVERLAPPING = "DELETE FROM goald.leases WHERE slots && int4range($1, $2, '[]')"
"""Waits for commits in flight, which hold a key lock on their lease. Afterwards none of these
holders can commit (D3)."""

TAKE_SLOTS = """
INSERT INTO goald.leases (slots, holder, backend_pid, expires_at)
VALUES (int4range($1, $2, '[]'), $3, $4, now() + $5::float8 * interval '1 second')
RETURNING epoch
"""
"""Returns an epoch greater than any before. Fails if the range overlaps another lease."""

NEXT_EPOCHS = "SELECT max(nextval('goald.lease_epoch')) FROM generate_series(1, $1::bigint)"
"""Uses $1 epochs and returns the last of them. The sequence never decreases."""

REMOVE_STREAM = "DELETE FROM goald.leases WHERE stream = $1"
"""Afterwards the previous holder can no longer renew."""

TAKE_STREAM = """
INSERT INTO goald.leases (stream, holder, expires_at)
VALUES ($1, $2, now() + $3::float8 * interval '1 second')
RETURNING epoch
"""
"""Returns an epoch greater than any before. Fails if the stream has a lease."""

RENEW = """
UPDATE goald.leases
SET expires_at = now() + $2::float8 * interval '1 second', config_version = $3,
    backend_pid = $4
WHERE epoch = $1 AND holder = $5
RETURNING current_date
"""
"""Returns no row if the lease was taken over. Changes no key, so it never waits for a commit.

The statements below also compare the holder, because a Postgres that was restored from an older
copy assigns the same epochs again, to other holders (D10)."""

RELEASE = "DELETE FROM goald.leases WHERE epoch = $1 AND holder = $2"
"""Does nothing if the lease was taken over."""

READ_LEASE = "SELECT epoch FROM goald.leases WHERE epoch = $1 AND holder = $2"
"""No row if the lease was taken over (D2)."""

HOLD_LEASE = READ_LEASE + " FOR KEY SHARE"
"""Holds the lease until the transaction ends: a takeover waits for it (D3). A full share lock would
also make renewals wait for a slow commit."""

# Reading --------------------------------------------------------------------------------

MAKE_MONTHS = "SELECT goald.make_achievement_months(3)"
"""Creates the partitions of this month and the next three that do not exist."""

_WORKFLOWS = """
SELECT w.tenant_id, w.id AS workflow_id, w.name, w.goal_logic, w.is_active, w.exits_missed,
       w.overdue, goald.us(w.activated_at) / 1000 AS activated_at_ms, w.config_version,
       w.deleted_at IS NOT NULL AS is_deleted,
       coalesce(s.tag_case_sensitive, false) AS tag_case_sensitive, s.error_notification,
       s.max_retry_attempts, s.retry_base_delay_seconds, s.concurrent_executions_per_account,
       coalesce(jsonb_agg(jsonb_build_object(
           'id', g.id, 'goal_type', g.goal_type, 'is_active', g.is_active,
           'criteria', (CASE WHEN g.criteria ? 'min_amount'
               THEN jsonb_set(g.criteria, '{min_amount}', to_jsonb(g.criteria ->> 'min_amount'))
               ELSE g.criteria END)::text,
           'effective_from', goald.us(g.effective_from),
           'check_on_enrollment', g.check_on_enrollment,
           'conversion_window', g.conversion_window::int8 * 1000000,
           'created_at', goald.us(g.created_at), 'position', g.position
       ) ORDER BY g.created_at, g.position) FILTER (WHERE g.id IS NOT NULL), '[]')::text AS goals
FROM goald.workflows w
LEFT JOIN goald.tenant_settings s ON s.tenant_id = w.tenant_id
LEFT JOIN goald.workflow_goals g
    ON g.tenant_id = w.tenant_id AND g.workflow_id = w.id AND g.deleted_at IS NULL
WHERE {which}
GROUP BY w.tenant_id, w.id, s.tenant_id
ORDER BY w.config_version
"""
"""Workflows with the goals that are not deleted, and the settings of their tenants. Amounts are
sent as text, so that they never become floats."""

CHANGED_WORKFLOWS = _WORKFLOWS.replace("{which}", "w.config_version > $1")
"""Workflows of all tenants that changed after a version, including the deleted ones."""

EXISTING_WORKFLOWS = _WORKFLOWS.replace("{which}", "w.deleted_at IS NULL")
"""All workflows of all tenants that are not deleted."""

NEWEST_VERSION = """
SELECT greatest((SELECT max(config_version) FROM goald.workflows),
                (SELECT max(config_version) FROM goald.contact_tenants), 0)
"""
"""Versions become visible in order, so a later statement sees all changes up to this version. The
version of a deleted workflow counts too."""

CONTACT_TENANTS = """
SELECT tenant_id, config_version FROM goald.contact_tenants WHERE config_version > $1
"""
"""The tenants that have had a projection of contacts since a version."""

WORKFLOWS_OF_TENANT = _WORKFLOWS.replace(
    "{which}", "w.tenant_id = $1 AND w.id = ANY ($2::text[]) AND w.deleted_at IS NULL"
)
"""For the dry run, as goald_api: these workflows as a shard reads them."""

_ENROLLMENT = """
SELECT e.tenant_id, e.id, e.contact_id, e.workflow_id, goald.us(e.enrolled_at),
       array_to_string(e.met_goals, ','),
       CASE WHEN e.received_at > e.enrolled_at
            THEN boolsend(e.used_before IS NOT NULL OR e.started_by IS NOT NULL
                          OR e.merges IS NOT NULL)
                || int8send(goald.us(e.received_at))
            ELSE boolsend(e.used_before IS NOT NULL OR e.started_by IS NOT NULL
                          OR e.merges IS NOT NULL) END,
       coalesce(e.match_values::text, '')
FROM goald.workflow_enrollments e
"""
"""See `Matcher.load`. `received_at` is later than `enrolled_at` if the enrollment moved (E21)."""

_STAYS = """
AND NOT EXISTS (SELECT FROM goald.transfers t
                WHERE t.tenant_id = e.tenant_id AND t.contact_id = e.contact_id
                  AND t.created_at >= e.created_at)
"""
"""The enrollments of a merged contact belong to no shard until they have moved (E21). Later ones
are of a new life of its id."""

LOAD = _ENROLLMENT + f"WHERE e.status = 'active' AND e.slot BETWEEN $1 AND $2 {_STAYS}"
"""All active enrollments of a range of slots, for binary COPY into the matcher."""

LOAD_CONTACTS = (
    _ENROLLMENT
    + """
JOIN unnest($1::text[], $2::text[]) AS requested (tenant_id, contact_id)
    ON e.tenant_id = requested.tenant_id AND e.contact_id = requested.contact_id
WHERE e.ended_at IS NULL
"""
    + _STAYS
)
"""The active enrollments of these contacts, at any number of ended ones: an active enrollment has
no `ended_at`, which the index of contacts contains."""

LOAD_NEWEST = (
    _ENROLLMENT
    + """
WHERE e.tenant_id = $1 AND e.contact_id = $2 AND e.ended_at IS NULL
ORDER BY e.enrolled_at DESC, e.id
LIMIT $3
"""
)
"""For the dry run, as goald_api: the newest active enrollments of one contact."""

# A commit -------------------------------------------------------------------------------

INSERT_ENROLLMENTS = """
INSERT INTO goald.workflow_enrollments
    (tenant_id, id, contact_id, workflow_id, slot, status, enrolled_at, ended_at, met_goals,
     pending_actions, last_achieved_at, met_types, started_by, used_before, received_at,
     match_values, merges)
SELECT n.tenant_id, n.id, n.contact_id, n.workflow_id, n.slot, n.status, goald.at(n.enrolled_at),
       goald.at(n.ended_at), n.met_goals::uuid[], n.pending_actions,
       goald.at(n.last_achieved_at), n.met_types, n.started_by::uuid,
       CASE WHEN n.status <> 'active' THEN NULL
            WHEN n.used_before IS NOT NULL THEN n.used_before
            WHEN EXISTS (
                SELECT FROM goald.used_events u
                WHERE u.tenant_id = n.tenant_id AND u.contact_id = n.contact_id
                  AND u.workflow_id = n.workflow_id)
            THEN coalesce($18::int8, nextval('goald.used_event_number')) END,
       goald.at(n.received_at),
       CASE WHEN NOT starts_with(n.contact_id, 'erased:') THEN n.match_values::jsonb END,
       n.merges::int8[]
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int2[], $6::text[], $7::int8[],
            $8::int8[], $9::text[], $10::int8[], $11::int8[], $12::int2[], $13::text[],
            $14::int8[], $15::int8[], $16::text[], $17::text[])
    AS n (tenant_id, id, contact_id, workflow_id, slot, status, enrolled_at, ended_at,
          met_goals, pending_actions, last_achieved_at, met_types, started_by, used_before,
          received_at, match_values, merges)
ON CONFLICT (tenant_id, id) DO NOTHING
RETURNING tenant_id, id, used_before IS NOT NULL AS excludes
"""
"""Never overwrites (E5). If a row is not returned, its id exists, perhaps in another slot. A row
with a pseudonym has no values.

An active row gets the number below which used events do not count for it (E11): $14 if set; else,
if its contact has used events in the workflow, $18 or a new number."""

INSERT_WITHOUT_USES = INSERT_ENROLLMENTS.replace("WHEN EXISTS (", "WHEN false AND EXISTS (")
"""As INSERT_ENROLLMENTS, for contacts whose used events do not count, because they are those of a
deleted contact."""

END_ONLY = """
(e.ended_at = e.enrolled_at AND e.status <> 'completed_goal' AND e.met_goals = '{}'
 AND (e.received_at <= e.enrolled_at) IS NOT TRUE)
"""
"""Whether perhaps only the end of an enrollment is known. `received_at` proves that its start is
known, unless it is the time of a later merge (E21)."""

EXISTING_ENROLLMENTS = f"""
SELECT e.tenant_id, e.id, e.contact_id, e.workflow_id, e.status, goald.us(e.enrolled_at), {END_ONLY}
FROM unnest($1::text[], $2::text[]) AS n (tenant_id, id)
JOIN goald.workflow_enrollments e ON e.tenant_id = n.tenant_id AND e.id = n.id
"""
"""The existing enrollments with these ids in the slots of the transaction, with their owners, their
starts, and whether only their ends may be known."""

UPDATE_ENROLLMENTS = """
UPDATE goald.workflow_enrollments e
SET status = n.status, ended_at = goald.at(n.ended_at),
    met_goals = e.met_goals || n.met_goals::uuid[],
    last_achieved_at = greatest(e.last_achieved_at, goald.at(n.last_achieved_at)),
    met_types = e.met_types | n.met_types, updated_at = now(),
    received_at = CASE WHEN goald.at(n.ended_at) <= e.enrolled_at
                       THEN coalesce(e.received_at, e.enrolled_at) ELSE e.received_at END
FROM unnest($1::text[], $2::text[], $3::text[], $4::int8[], $5::text[], $6::int8[], $7::int2[])
    AS n (tenant_id, id, status, ended_at, met_goals, last_achieved_at, met_types)
WHERE e.tenant_id = n.tenant_id AND e.id = n.id AND (e.status = 'active') IS TRUE
RETURNING e.tenant_id, e.id, goald.us(e.received_at)
"""
"""A status never returns to `active` (E5). A row that is not returned was no longer active. If it
ends no later than it began, `received_at` shows that its start is known (E18).
IS TRUE keeps the planner from the index of active rows, which would read all of them."""

UPDATE_AFTER_END = """
UPDATE goald.workflow_enrollments e
SET met_goals = e.met_goals || n.met_goals::uuid[], met_after_end_at = goald.at(n.met_at),
    updated_at = now()
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int8[])
    AS n (tenant_id, id, contact_id, workflow_id, met_goals, met_at)
WHERE e.tenant_id = n.tenant_id AND e.id = n.id AND e.contact_id = n.contact_id
  AND e.workflow_id = n.workflow_id
  AND (e.status IN ('completed', 'exited', 'cancelled')) IS TRUE
  AND e.met_after_end_at IS NULL AND NOT e.met_goals && n.met_goals::uuid[]
RETURNING e.tenant_id, e.id, goald.us(e.received_at)
"""
"""The goals that enrollments meet after their end (E18): each once, and none after all are met. The
status stays. IS TRUE as in UPDATE_ENROLLMENTS."""

INSERT_ACHIEVEMENTS = """
INSERT INTO goald.workflow_goal_achievements
    (tenant_id, workflow_id, workflow_enrollment_id, contact_id, slot, after_end, id,
     goal_config_id, goal_type, achieved_at, trigger_event, metadata)
SELECT n.tenant_id, n.workflow_id, n.enrollment_id, n.contact_id, n.slot, n.after_end, n.id::uuid,
       n.goal_id::uuid, n.goal_type, goald.at(n.achieved_at), n.trigger_event::jsonb,
       n.metadata::jsonb
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int2[], $6::bool[], $7::text[],
            $8::text[], $9::text[], $10::int8[], $11::text[], $12::text[])
    AS n (tenant_id, workflow_id, enrollment_id, contact_id, slot, after_end, id, goal_id,
          goal_type, achieved_at, trigger_event, metadata)
"""
"""Unique per enrollment and goal, because an achievement is written only if its effect has inserted
or updated the enrollment."""

INSERT_OUTBOX = """
INSERT INTO goald.outbox
    (tenant_id, slot, contact_id, message_id, stream, payload, enrollment_id, of_enrollment_id)
SELECT n.tenant_id, n.slot, n.contact_id, n.message_id, n.stream, n.payload,
       CASE WHEN n.waits THEN n.enrollment_id END, n.enrollment_id
FROM unnest($1::text[], $2::int2[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
            $8::bool[]) WITH ORDINALITY
    AS n (tenant_id, slot, contact_id, message_id, stream, payload, enrollment_id, waits, place)
ORDER BY n.place
RETURNING number
"""
"""Returns numbers in the order of the input."""

ACKNOWLEDGE_EXITS = """
UPDATE goald.workflow_enrollments e
SET exit_acknowledged_at = goald.at(n.at), cancelled_actions = n.cancelled, updated_at = now()
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int8[], $6::int8[])
    AS n (tenant_id, id, contact_id, workflow_id, cancelled, at)
WHERE e.tenant_id = n.tenant_id AND e.id = n.id
  AND (e.contact_id = n.contact_id OR starts_with(e.contact_id, 'erased:'))
  AND e.workflow_id = n.workflow_id AND e.status = 'completed_goal'
  AND e.exit_acknowledged_at IS NULL
"""
"""The first acknowledgement of an exit is kept. Others change nothing. The contact may have been
erased since."""

_REVERSE = """
WITH undone AS (
    SELECT a.metadata ->> 'source' AS source, a.metadata ->> 'event_id' AS event_id
    FROM goald.workflow_goal_achievements a
    WHERE a.tenant_id = $1 AND a.contact_id = $2 AND a.goal_type = '{goal_type}'
      AND a.achieved_at <= goald.at($3)
      AND coalesce(a.trigger_event ->> '{reference}' = $4, true)
      AND ($5::int8 IS NULL OR EXISTS (
          SELECT FROM goald.workflow_enrollments e
          WHERE e.tenant_id = $1 AND e.id = a.workflow_enrollment_id
            AND coalesce(e.received_at, e.enrolled_at) > goald.at($5)))
    ORDER BY (a.trigger_event ->> '{reference}' = $4) IS TRUE DESC, a.achieved_at DESC,
             a.recorded_at DESC, a.id
    LIMIT 1
)
UPDATE goald.workflow_enrollments e
SET {column} = goald.at($3), updated_at = now()
FROM undone u, goald.workflow_goal_achievements a
WHERE a.tenant_id = $1 AND a.contact_id = $2 AND a.goal_type = '{goal_type}'
  AND a.metadata ->> 'source' IS NOT DISTINCT FROM u.source
  AND a.metadata ->> 'event_id' IS NOT DISTINCT FROM u.event_id
  AND e.tenant_id = a.tenant_id AND e.id = a.workflow_enrollment_id
  AND e.status = 'completed_goal' AND e.{column} IS NULL
  AND ($5::int8 IS NULL OR coalesce(e.received_at, e.enrolled_at) > goald.at($5))
RETURNING e.id, e.workflow_id
"""

REVERSE: Final[Mapping[GoalType, str]] = {
    "purchase_made": _REVERSE.format(
        goal_type="purchase_made", reference="payment_id", column="refunded_at"
    ),
    "appointment_booked": _REVERSE.format(
        goal_type="appointment_booked", reference="appointment_id",
        column="appointment_cancelled_at",
    ),
}  # fmt: skip
"""Marks the enrollments that one event completed: the event with the reference $4, or the newest of
the contact's events before $3 that has no other reference. Returns those that were not marked. If
the contact was deleted at $5, its earlier enrollments do not count: they may not be erased yet."""
