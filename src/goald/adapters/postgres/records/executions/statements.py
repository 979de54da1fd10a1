"""The statements that read executions, newest first.

All execute as goald_api and see the one tenant of their transaction. $1: tenant. $2: workflow.
$3 and $4: the first time (inclusive) and the last (exclusive). $5 and $6: time and id of the row
that the page follows. $7: the number of rows. Their values are never null: see the statements of
enrollments.
"""

_EXECUTION = """
x.id, x.workflow_id, x.contact_id, x.version, x.status, x.completion_reason, x.waiting_for,
x.step_id, x.step_index AS current_step_index, x.total_steps, x.retry_count, x.connection,
goald.us(x.due_at) AS due_at, string_to_array(x.done_steps, E'\\x1f') AS done_steps,
goald.us(x.created_at) AS created_at, goald.us(x.updated_at) AS updated_at,
goald.us(x.ended_at) AS ended_at
"""

BY_ID = f"SELECT {_EXECUTION} FROM goald.workflow_executions x WHERE tenant_id = $1 AND id = $2"

_OF_WORKFLOW = """
FROM goald.workflow_executions x
WHERE x.tenant_id = $1 AND x.workflow_id = $2 AND x.phase = {phase} COLLATE "POSIX"
  AND x.created_at >= goald.at($3) AND x.created_at < goald.at($4)
  AND (x.created_at, x.id COLLATE "POSIX") < (goald.at($5), $6::text)
ORDER BY x.created_at DESC, x.id COLLATE "POSIX" DESC
"""

OF_WORKFLOW = f"""
SELECT e.* FROM unnest($8::text[]) AS requested (phase) CROSS JOIN LATERAL (
    SELECT {_EXECUTION} {_OF_WORKFLOW.format(phase="requested.phase")} LIMIT $7
) AS e
ORDER BY e.created_at DESC, e.id DESC LIMIT $7
"""
"""Execute after IN_ORDER. $8: the phases. Reads at most one page of each phase, however many
executions the workflow has."""

_LIVE = _OF_WORKFLOW.format(phase="'live'")

LIVE = f"""
SELECT {_EXECUTION} FROM (SELECT x.* {_LIVE} LIMIT $9) AS x
WHERE x.status = $8 LIMIT $7
"""
"""Execute after IN_ORDER. The live executions with the status $8, among the first $9: the status
changes with each step, so it has no index."""

LIVE_SCANNED_TO = f"SELECT goald.us(x.created_at), x.id {_LIVE} LIMIT 1 OFFSET $7"
"""Execute after IN_ORDER. The position of the last row that LIVE scans ($7: the number of these
rows minus one); no row if there are fewer."""

_PHASES_FROM = f"""
FROM unnest($8::text[]) AS requested (phase) CROSS JOIN LATERAL (
    SELECT x.created_at, x.id {_OF_WORKFLOW.format(phase="requested.phase")} LIMIT $7
) AS e
"""
POSITION = f"""
SELECT goald.us(e.created_at), e.id {_PHASES_FROM}
ORDER BY e.created_at DESC, e.id DESC OFFSET $7 - 1 LIMIT 1
"""
"""Execute after IN_ORDER. The position of the row with the number $7; $8: the phases."""

COUNT = f"SELECT count(*) FROM (SELECT {_PHASES_FROM} LIMIT $7) AS counted"
"""Execute after IN_ORDER. Counts up to $7 rows; $8: the phases."""

ESTIMATE = """
EXPLAIN (FORMAT JSON) SELECT FROM goald.workflow_executions x
WHERE x.tenant_id = $1 AND x.workflow_id = $2 AND x.phase COLLATE "POSIX" = ANY ($5::text[])
  AND x.created_at >= goald.at($3) AND x.created_at < goald.at($4)
"""
"""The planner's estimate of the number of rows; $5: the phases."""

_LIVE_WITH_STATUS = f"""
FROM (SELECT x.created_at, x.id, x.status {_LIVE} LIMIT $7) AS x WHERE x.status = $8
"""
LIVE_POSITION = f"""
SELECT goald.us(x.created_at), x.id {_LIVE_WITH_STATUS} OFFSET $9 - 1 LIMIT 1
"""
"""Execute after IN_ORDER. The position of the live row with the status $8 and the number $9, among
the first $7."""

LIVE_COUNT = f"SELECT count(*) {_LIVE_WITH_STATUS}"
"""Execute after IN_ORDER. The number of live rows with the status $8 among the first $7."""

_OF_CONTACT = """
FROM goald.workflow_enrollments e
JOIN goald.workflow_executions x ON x.tenant_id = e.tenant_id AND x.id = e.id
WHERE e.tenant_id = $1 AND e.contact_id = {contact} AND x.workflow_id = $2
  AND x.status = ANY ({statuses}::text[])
  AND x.created_at >= goald.at($3) AND x.created_at < goald.at($4)
"""

OF_CONTACT = f"""
SELECT {_EXECUTION} {_OF_CONTACT.format(contact="$8", statuses="$9")}
  AND (x.created_at, x.id) < (goald.at($5), $6::text)
ORDER BY x.created_at DESC, x.id DESC LIMIT $7
"""
"""Through the index of enrollments. Reads all of the contact, which are few."""

OPEN_OF_CONTACT = f"""
SELECT {_EXECUTION} FROM (
    SELECT tenant_id, id FROM goald.workflow_enrollments
    WHERE tenant_id = $1 AND contact_id = $2 AND ended_at IS NULL
    ORDER BY enrolled_at DESC, id
    LIMIT $3
) AS e
JOIN goald.workflow_executions x ON x.tenant_id = e.tenant_id AND x.id = e.id
"""
"""The executions of the newest $3 active enrollments of the contact $2."""

ALL_OF_CONTACT = f"""
SELECT {_EXECUTION} {_OF_CONTACT.format(contact="$5", statuses="$6")}
ORDER BY x.created_at DESC, x.id DESC LIMIT $7
"""

LOGS = """
SELECT number, event_type, goald.us(at) AS at, step_index, step_id, attempt, duration_ms, message,
       user_id
FROM goald.execution_logs WHERE tenant_id = $1 AND execution_id = $2
ORDER BY number OFFSET $3 LIMIT $4
"""
COUNT_LOGS = "SELECT count(*) FROM goald.execution_logs WHERE tenant_id = $1 AND execution_id = $2"

ENDED_WITH = """
SELECT message FROM goald.execution_logs
WHERE tenant_id = $1 AND execution_id = $2
  AND event_type IN ('execution_cancelled', 'goal_achieved')
ORDER BY number DESC LIMIT 1
"""

ANSWERS = """
SELECT request, answer, execution_id FROM goald.execution_answers
WHERE tenant_id = $1 AND request = ANY ($2::text[])
"""

WORKFLOW = """
SELECT w.is_active, EXISTS (
    SELECT FROM goald.workflow_definitions d
    WHERE d.tenant_id = w.tenant_id AND d.workflow_id = w.id
      AND d.published_at IS NOT NULL AND d.deleted_at IS NULL) AS has_definition
FROM goald.workflows w WHERE w.tenant_id = $1 AND w.id = $2 AND w.deleted_at IS NULL
"""
