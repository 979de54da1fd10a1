"""The statements of executions, and their guarantees.

All execute as goald_shard and see only the slots of the transaction. Times are milliseconds since
the epoch.
"""

from typing import Final

_COLUMNS: Final = (
    ("tenant_id", "text"), ("id", "text"), ("workflow_id", "text"), ("slot", "int2"),
    ("version", "int4"), ("status", "text"), ("state", "text"), ("waiting_for", "text"),
    ("reason", "text"), ("step_id", "text"), ("step_index", "int2"), ("total_steps", "int2"),
    ("visit", "int4"), ("attempt", "int4"), ("retry_count", "int2"), ("action", "text"),
    ("connection", "text"), ("zone", "text"), ("since", "int8"), ("since_seq", "int4"),
    ("due_at", "int8"), ("done_steps", "text"), ("migrates", "bool"), ("used_event", "bool"),
    ("used_events", "text"), ("gate", "text"),
)  # fmt: skip
"""The columns that an insert and an update share, with the types of their arrays."""
_STARTS: Final = (*_COLUMNS, ("hops", "int2"), ("variables", "text"), ("started_at", "int8"))
_GUARDS: Final = (
    ("guard_step", "text"), ("guard_visit", "int4"), ("guard_attempt", "int4"),
    ("guard_state", "text"),
)  # fmt: skip
_UPDATES: Final = (*_COLUMNS, *_GUARDS)
_MATCHES: Final = (("tenant_id", "text"), ("id", "text"), *_GUARDS)


def _rows(columns: tuple[tuple[str, str], ...]) -> str:
    """The FROM item `n`: a row for each place of the arrays."""
    arrays = ", ".join(f"${number}::{of}[]" for number, (_, of) in enumerate(columns, 1))
    names = ", ".join(name for name, _ in columns)
    return f"unnest({arrays}) WITH ORDINALITY AS n ({names}, place)"


INSERT = f"""
INSERT INTO goald.workflow_executions
    (tenant_id, id, contact_id, workflow_id, slot, version, status, state, waiting_for,
     completion_reason, step_id, step_index, total_steps, visit, attempt, retry_count, hops, action,
     connection, zone, since, since_seq, due_at, done_steps, migrates, used_event, used_events,
     gate, attributes, created_at, ended_at)
SELECT n.tenant_id, n.id, e.contact_id, n.workflow_id, n.slot, n.version, n.status, n.state,
       n.waiting_for, n.reason, n.step_id, n.step_index, n.total_steps, n.visit, n.attempt,
       n.retry_count, n.hops, n.action, n.connection, n.zone, goald.at(n.since * 1000), n.since_seq,
       goald.at(n.due_at * 1000), n.done_steps, n.migrates, n.used_event, n.used_events::uuid[],
       n.gate, CASE WHEN NOT starts_with(e.contact_id, 'erased:') THEN n.variables::jsonb END,
       goald.at(n.started_at * 1000), CASE WHEN n.reason IS NOT NULL THEN now() END
FROM {_rows(_STARTS)}
JOIN goald.workflow_enrollments e ON e.tenant_id = n.tenant_id AND e.id = n.id
ON CONFLICT (tenant_id, id) DO NOTHING
RETURNING tenant_id, id
"""
"""The contact is that of the enrollment, which may be a pseudonym."""

_MATCH = """
x.tenant_id = n.tenant_id AND x.id = n.id AND x.step_id = n.guard_step AND x.visit = n.guard_visit
AND x.attempt = n.guard_attempt AND x.state = n.guard_state AND x.ended_at IS NULL
"""

MATCHING = f"""
SELECT n.place FROM {_rows(_MATCHES)} JOIN goald.workflow_executions x ON {_MATCH}
"""
"""The places of the executions that are open and match their guards."""

UPDATE = f"""
UPDATE goald.workflow_executions x
SET version = n.version, status = n.status, state = n.state, waiting_for = n.waiting_for,
    completion_reason = n.reason, step_id = n.step_id, step_index = n.step_index,
    total_steps = n.total_steps, visit = n.visit, attempt = n.attempt, retry_count = n.retry_count,
    action = n.action, connection = n.connection, zone = n.zone, since = goald.at(n.since * 1000),
    since_seq = n.since_seq, due_at = goald.at(n.due_at * 1000),
    done_steps = CASE WHEN x.done_steps = '' OR n.done_steps = ''
                      THEN x.done_steps || n.done_steps
                      ELSE x.done_steps || E'\\x1f' || n.done_steps END,
    migrates = n.migrates, used_event = n.used_event,
    used_events = CASE WHEN n.used_events = '{{}}' THEN x.used_events
                       ELSE x.used_events || n.used_events::uuid[] END,
    gate = n.gate, updated_at = now(), ended_at = CASE WHEN n.reason IS NOT NULL THEN now() END
FROM {_rows(_UPDATES)}
WHERE {_MATCH}
RETURNING n.place
"""
"""An execution that has ended never changes. Unless the phase changes, no index does."""

ENTER = """
INSERT INTO goald.workflow_entries AS w
    (tenant_id, contact_id, workflow_id, slot, last_started_at, last_ended_at)
SELECT x.tenant_id, x.contact_id, x.workflow_id, x.slot, max(x.created_at), max(x.ended_at)
FROM unnest($1::text[], $2::text[]) AS n (tenant_id, id)
JOIN goald.workflow_executions x ON x.tenant_id = n.tenant_id AND x.id = n.id
WHERE NOT starts_with(x.contact_id, 'erased:')
GROUP BY 1, 2, 3, 4
ON CONFLICT (tenant_id, contact_id, workflow_id) DO UPDATE SET
    last_started_at = greatest(w.last_started_at, excluded.last_started_at),
    last_ended_at = greatest(w.last_ended_at, excluded.last_ended_at)
"""
"""Records the starts and ends of these executions. greatest() ignores NULL."""

LOG = """
INSERT INTO goald.execution_logs
    (tenant_id, execution_id, workflow_id, contact_id, slot, event_type, at, step_index, step_id,
     attempt, duration_ms, message, user_id)
SELECT n.tenant_id, n.execution_id, n.workflow_id, n.contact_id, n.slot, n.event_type,
       goald.at(n.at * 1000), n.step_index, n.step_id, n.attempt, n.duration_ms, n.message,
       n.user_id
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int2[], $6::text[], $7::int8[],
            $8::int2[], $9::text[], $10::int4[], $11::int8[], $12::text[], $13::text[])
    WITH ORDINALITY AS n (tenant_id, execution_id, workflow_id, contact_id, slot, event_type, at,
                          step_index, step_id, attempt, duration_ms, message, user_id, place)
ORDER BY n.place
"""
"""Numbers the rows in the order of the input."""

ANSWER = """
INSERT INTO goald.execution_answers (tenant_id, request, slot, answer, execution_id)
SELECT n.tenant_id, n.request, n.slot, n.answer, n.execution_id
FROM unnest($1::text[], $2::text[], $3::int2[], $4::text[], $5::text[])
    AS n (tenant_id, request, slot, answer, execution_id)
ORDER BY n.tenant_id, n.request
ON CONFLICT (tenant_id, request) DO NOTHING
"""
"""Keeps the first answer."""

# Reading --------------------------------------------------------------------------------

_EXECUTION = """
SELECT x.tenant_id, x.id, x.contact_id, x.workflow_id, x.version::int8, x.state, x.step_id,
       x.visit::int8, x.attempt::int8, x.retry_count::int8, x.hops::int8, x.zone,
       goald.us(x.since) / 1000, coalesce(goald.us(x.due_at) / 1000, -1), x.done_steps, x.migrates,
       x.used_event, x.since_seq::int8
FROM goald.workflow_executions x
"""
"""See `Matcher.load_executions`."""

_STAYS = """
AND NOT EXISTS (SELECT FROM goald.transfers t
                WHERE t.tenant_id = x.tenant_id AND t.contact_id = x.contact_id
                  AND t.created_at >= x.recorded_at)
"""
"""As the condition of enrollments of this name (E21)."""

LOAD = _EXECUTION + f"WHERE x.phase IN ('live', 'failed') AND x.slot BETWEEN $1 AND $2 {_STAYS}"
"""All open executions of a range of slots, for binary COPY into the matcher."""

LOAD_CONTACTS = (
    _EXECUTION
    + """
JOIN goald.workflow_enrollments e ON e.tenant_id = x.tenant_id AND e.id = x.id
JOIN unnest($1::text[], $2::text[]) AS requested (tenant_id, contact_id)
    ON e.tenant_id = requested.tenant_id AND e.contact_id = requested.contact_id
WHERE e.ended_at IS NULL AND x.ended_at IS NULL
"""
    + _STAYS
)
"""The open executions of these contacts, through the index of their active enrollments."""

CURRENT_PLANS = """
SELECT DISTINCT ON (d.tenant_id, d.workflow_id)
    d.tenant_id, d.workflow_id, d.version, d.plan, true
FROM goald.workflow_definitions d
WHERE d.published_at IS NOT NULL AND d.deleted_at IS NULL {of}
ORDER BY d.tenant_id, d.workflow_id, d.version DESC
"""
PLANS = CURRENT_PLANS.format(of="")
"""The newest published versions of all workflows."""

PLANS_OF = CURRENT_PLANS.format(
    of="AND (d.tenant_id, d.workflow_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))"
)
"""Those of these workflows."""

USED_PLANS = """
WITH used AS MATERIALIZED (
    SELECT DISTINCT x.tenant_id, x.workflow_id, x.version FROM goald.workflow_executions x
    WHERE x.phase IN ('live', 'failed') AND x.slot BETWEEN $1 AND $2
)
SELECT used.tenant_id, used.workflow_id, used.version, of.plan, false
FROM used CROSS JOIN LATERAL (
    SELECT d.plan FROM goald.workflow_definitions d
    WHERE d.tenant_id = used.tenant_id AND d.workflow_id = used.workflow_id
      AND d.version = used.version AND d.published_at IS NOT NULL
    LIMIT 1) AS of
"""
"""The versions that open executions of a range of slots use. Reads all of these executions once,
and looks up each version by its key."""

PINNED_PLANS = """
WITH used AS MATERIALIZED (
    SELECT DISTINCT x.tenant_id, x.workflow_id, x.version
    FROM goald.workflow_enrollments e
    JOIN goald.workflow_executions x ON x.tenant_id = e.tenant_id AND x.id = e.id
    WHERE e.tenant_id = $1 AND e.contact_id = $2 AND e.ended_at IS NULL AND x.ended_at IS NULL
), current AS MATERIALIZED (
    SELECT DISTINCT ON (d.tenant_id, d.workflow_id) d.tenant_id, d.workflow_id, d.version
    FROM goald.workflow_definitions d
    WHERE (d.tenant_id, d.workflow_id) IN (SELECT tenant_id, workflow_id FROM used)
      AND d.published_at IS NOT NULL AND d.deleted_at IS NULL
    ORDER BY d.tenant_id, d.workflow_id, d.version DESC
)
SELECT d.tenant_id, d.workflow_id, d.version, d.plan, current.version IS NOT NULL
FROM (SELECT * FROM used UNION SELECT * FROM current) AS of
JOIN goald.workflow_definitions d USING (tenant_id, workflow_id, version)
LEFT JOIN current USING (tenant_id, workflow_id, version)
WHERE d.published_at IS NOT NULL
"""
"""The versions that the open executions of a contact use, and the current ones of their
workflows."""

STARTS = """
SELECT EXISTS (SELECT FROM goald.workflow_enrollments e
               WHERE e.tenant_id = n.tenant_id AND e.id = n.execution_id),
       goald.us(w.last_started_at) / 1000
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY
    AS n (tenant_id, contact_id, workflow_id, execution_id, place)
LEFT JOIN goald.workflow_entries w
    ON w.tenant_id = n.tenant_id AND w.contact_id = n.contact_id
    AND w.workflow_id = n.workflow_id
    AND NOT EXISTS (SELECT FROM goald.erasures t
                    WHERE t.tenant_id = w.tenant_id AND t.contact_id = w.contact_id
                      AND w.last_started_at <= t.deleted_at)
ORDER BY n.place
"""
"""Whether each execution exists, and the last start of its contact in its workflow. An entry of a
deleted contact does not count, also before it is erased."""

USED = """
SELECT n.place
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY
    AS n (tenant_id, id, event, place)
JOIN goald.workflow_executions x ON x.tenant_id = n.tenant_id AND x.id = n.id
WHERE n.event::uuid = ANY (x.used_events)
"""
"""The places of the checks whose event has ended a wait of the execution."""

JOBS = """
SELECT x.tenant_id, x.id, x.contact_id, x.step_id, x.visit, x.attempt, x.action, x.connection,
       x.gate, (extract(epoch FROM now() - x.updated_at) * 1000)::int8
FROM unnest($1::text[], $2::text[]) AS n (tenant_id, id)
JOIN goald.workflow_executions x ON x.tenant_id = n.tenant_id AND x.id = n.id
WHERE x.gate IS NOT NULL AND x.ended_at IS NULL
"""

BEGUN = """
SELECT x.tenant_id, x.id, goald.us(x.created_at), x.attributes::text
FROM unnest($1::text[], $2::text[]) AS n (tenant_id, id)
JOIN goald.workflow_executions x ON x.tenant_id = n.tenant_id AND x.id = n.id
"""
