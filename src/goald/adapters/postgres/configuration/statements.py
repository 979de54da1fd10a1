"""The statements of the configuration and their guarantees.

All execute as goald_api in the transaction of one tenant. Row security restricts them to the
tenant. The condition on `$1` lets them use the indexes.
"""

from goald.adapters.postgres.shard.missed import KEEP_DAYS

# Reading --------------------------------------------------------------------------------

_STAMP = "version, goald.us(created_at) AS created_at, goald.us(updated_at) AS updated_at"

_WORKFLOW = f"""
SELECT id, name, goal_logic, is_active, exits_missed, overdue,
       goald.us(activated_at) AS activated_at, {_STAMP}
FROM goald.workflows
WHERE tenant_id = $1 AND deleted_at IS NULL
"""
_GOAL = f"""
SELECT id, workflow_id, key, position, goal_type, criteria::text AS criteria, is_active,
       goald.us(effective_from) AS effective_from, check_on_enrollment, conversion_window,
       {_STAMP}
FROM goald.workflow_goals WHERE tenant_id = $1 AND deleted_at IS NULL
"""

WORKFLOWS = _WORKFLOW + "AND id = ANY ($2::text[])"
ALL_WORKFLOWS = _WORKFLOW + "ORDER BY id"
PAGE_OF_WORKFLOWS = _WORKFLOW + "ORDER BY id OFFSET $2 LIMIT $3"
COUNT_WORKFLOWS = "SELECT count(*) FROM goald.workflows WHERE tenant_id = $1 AND deleted_at IS NULL"

COUNT_WORKFLOW_ROWS = """
SELECT count(*) FILTER (WHERE deleted_at IS NULL) AS existing,
       count(*) FILTER (WHERE id <> ALL ($2::text[])) AS other_rows
FROM goald.workflows
WHERE tenant_id = $1
"""
"""The workflows of a tenant, and the rows of other workflows than these, with those of deleted
ones."""

ACTIVE_ENROLLMENTS = """
SELECT w.id AS workflow_id, (
    SELECT count(*) FROM (
        SELECT FROM goald.workflow_enrollments e
        WHERE e.tenant_id = $1 AND e.workflow_id = w.id AND e.status = 'active' COLLATE "POSIX"
        LIMIT $3
    ) counted
) AS enrollments
FROM unnest($2::text[]) AS w (id)
"""
"""The number of committed active enrollments of each workflow, up to $3. Reads one range of the
index of pages for each workflow."""

MISSED = f"""
SELECT w.id AS workflow_id, (
    SELECT count(*) FROM (
        SELECT FROM goald.missed_runs r
        JOIN goald.workflow_enrollments e ON e.tenant_id = r.tenant_id
            AND e.id = r.enrollment_id AND (e.status = 'active') IS TRUE
        WHERE r.tenant_id = $1 AND r.workflow_id = w.id
          AND r.missed_at > now() - interval '{KEEP_DAYS} days'
        LIMIT $3
    ) counted
) AS enrollments
FROM unnest($2::text[]) AS w (id)
"""
"""The number of active enrollments of each workflow that met a goal while it was inactive, up to $3
(E19)."""

OVERDUE = """
SELECT w.id AS workflow_id, (
    SELECT count(*) FROM (
        SELECT FROM goald.workflow_executions x
        WHERE x.tenant_id = $1 AND x.workflow_id = w.id AND x.phase = 'live' COLLATE "POSIX"
          AND (x.due_at <= now() OR (x.due_at IS NULL AND x.state IN ('queued', 'ready')))
        LIMIT $3
    ) counted
) AS executions
FROM unnest($2::text[]) AS w (id)
"""
"""The number of executions of each inactive workflow whose step is overdue, up to $3 (X7)."""

GOALS = _GOAL + "AND workflow_id = ANY ($2::text[]) ORDER BY workflow_id, position"
ALL_GOALS = _GOAL + "ORDER BY workflow_id, position"

SETTINGS = """
SELECT tag_case_sensitive, error_notification, max_retry_attempts, retry_base_delay_seconds,
       concurrent_executions_per_account
FROM goald.tenant_settings WHERE tenant_id = $1
"""

WORKFLOW_IDS = """
SELECT coalesce(array_agg(id), '{}') FROM goald.workflows
WHERE tenant_id = $1 AND deleted_at IS NULL
"""

_ENTITY = """
SELECT e.kind, e.entity_id AS id, e.name FROM goald.catalog_entities e
"""

ENTITIES = (
    _ENTITY
    + """
JOIN unnest($2::text[], $3::text[]) AS n (kind, id)
    ON e.tenant_id = $1 AND e.kind = n.kind AND e.entity_id = n.id
"""
)
ENTITIES_OF_KINDS = _ENTITY + "WHERE e.tenant_id = $1 AND e.kind = ANY ($2::text[])"
PAGE_OF_ENTITIES = (
    _ENTITY
    + """
WHERE e.tenant_id = $1 AND e.kind = $2 AND e.entity_id > $3 ORDER BY e.entity_id LIMIT $4
"""
)

KINDS = """
SELECT k.kind FROM unnest($2::text[]) AS k (kind)
CROSS JOIN LATERAL (
    SELECT FROM goald.catalog_entities e WHERE e.tenant_id = $1 AND e.kind = k.kind
    ORDER BY e.entity_id LIMIT 1
) AS first
"""
"""The kinds that have entities. Reads one index entry for each kind, regardless of the number of
entities."""

# A change -------------------------------------------------------------------------------

LOCK_TENANT = "SELECT pg_advisory_xact_lock(hashtext('goald.tenant'), hashtext($1))"
"""Serialises the changes of a tenant, so that a change set applies to the rows that it was computed
from."""

SAVE_WORKFLOW = f"""
INSERT INTO goald.workflows AS w
    (tenant_id, id, name, goal_logic, is_active, exits_missed, overdue, activated_at,
     config_version, created_by, updated_by)
SELECT $1, $2, $3, $4, $5, $6, $7, goald.at($8), 0, who, who
FROM (SELECT nullif(current_setting('goald.actor', true), '') AS who) AS me
ON CONFLICT (tenant_id, id) DO UPDATE
SET name = excluded.name, goal_logic = excluded.goal_logic, is_active = excluded.is_active,
    exits_missed = excluded.exits_missed, overdue = excluded.overdue,
    activated_at = excluded.activated_at,
    version = w.version + 1, updated_at = now(), updated_by = excluded.updated_by
RETURNING {_STAMP}
"""
"""Creates a deleted workflow again (see 0013). TAKE_VERSION must follow in the same transaction,
because shards ignore version 0."""

DELETE_WORKFLOW = """
UPDATE goald.workflows
SET is_active = false, deleted_at = now(), version = version + 1, updated_at = now(),
    updated_by = nullif(current_setting('goald.actor', true), '')
WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL
"""
"""Keeps the row, so that shards learn of the deletion. Its goals must be deleted before."""

ADD_GOAL = f"""
INSERT INTO goald.workflow_goals
    (tenant_id, id, workflow_id, key, position, goal_type, criteria, is_active, effective_from,
     check_on_enrollment, conversion_window, created_by, updated_by)
SELECT $1, $2, $3, $4, $5, $6, $7::text::jsonb, $8, goald.at($9), $10, $11, who, who
FROM (SELECT nullif(current_setting('goald.actor', true), '') AS who) AS me
RETURNING {_STAMP}
"""
"""Fails for a fourth goal, and for a goal that the workflow already has."""

CHANGE_GOAL = f"""
UPDATE goald.workflow_goals
SET key = $3, goal_type = $4, criteria = $5::text::jsonb, is_active = $6,
    effective_from = goald.at($7), check_on_enrollment = $8, conversion_window = $9,
    version = version + 1, updated_at = now(),
    updated_by = nullif(current_setting('goald.actor', true), '')
WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL
RETURNING {_STAMP}
"""

DELETE_GOAL = """
UPDATE goald.workflow_goals
SET deleted_at = now(), version = version + 1, updated_at = now(),
    updated_by = nullif(current_setting('goald.actor', true), '')
WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL
"""
"""Keeps the row and the achievements of the goal."""

SAVE_SETTINGS = """
INSERT INTO goald.tenant_settings
    (tenant_id, tag_case_sensitive, error_notification, max_retry_attempts,
     retry_base_delay_seconds, concurrent_executions_per_account)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (tenant_id) DO UPDATE
SET tag_case_sensitive = excluded.tag_case_sensitive,
    error_notification = excluded.error_notification,
    max_retry_attempts = excluded.max_retry_attempts,
    retry_base_delay_seconds = excluded.retry_base_delay_seconds,
    concurrent_executions_per_account = excluded.concurrent_executions_per_account,
    updated_at = now()
"""
"""TAKE_VERSION for all workflows of the tenant must follow in the same transaction, because shards
read the settings with the workflows."""

SAVE_ENTITY = """
INSERT INTO goald.catalog_entities (tenant_id, kind, entity_id, name) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant_id, kind, entity_id) DO UPDATE SET name = excluded.name, updated_at = now()
"""

DELETE_ENTITY = """
DELETE FROM goald.catalog_entities WHERE tenant_id = $1 AND kind = $2 AND entity_id = $3
"""

# Outbox messages of a configuration change ------------------------------------------------------

ADD_NOTICES = """
INSERT INTO goald.outbox (tenant_id, slot, message_id, stream, payload)
SELECT $1, n.slot, n.message_id, $2, n.payload
FROM unnest($3::int2[], $4::text[], $5::text[])
    WITH ORDINALITY AS n (slot, message_id, payload, place)
ORDER BY n.place
RETURNING number
"""
"""Returns numbers in the order of the input. This process publishes the rows after the commit, or
the shard of the slot does."""

LOCK_WORKFLOWS = """
SELECT FROM goald.workflows WHERE tenant_id = $1 AND id = ANY ($2::text[])
ORDER BY id FOR NO KEY UPDATE
"""
"""Execute before AUDIT, so that TAKE_VERSION never waits for a row lock, and no holder of such a
lock waits for an audit chain that this transaction has locked."""

AUDIT = "SET CONSTRAINTS ALL IMMEDIATE"
"""Executes the deferred triggers of the audit log. Execute it before TAKE_VERSION: at the commit,
the triggers would hold the version lock (2.7 s for 5,000 workflows) while they wait for the audit
chain of the tenant."""

TAKE_VERSION = """
WITH taken AS MATERIALIZED (
    SELECT goald.take_config_version($1, $2::text[]) AS version
), control AS (
    INSERT INTO goald.outbox (tenant_id, slot, message_id, stream, payload)
    SELECT $1, $3, 'configuration-' || version, $4, '{"version":' || version || $5 FROM taken
    RETURNING number
)
SELECT version, number FROM taken, control
"""
"""Assigns the next version to these workflows, and writes the control message about it.

It takes the lock that orders the versions of all tenants, so it must be the last statement of the
transaction, after AUDIT."""

MARK_PUBLISHED = """
UPDATE goald.outbox SET published_at = now()
WHERE number = ANY ($1::int8[]) AND (published_at IS NULL) IS TRUE
"""
"""Marks rows once."""

ROLLOUT = """
SELECT count(*) FILTER (WHERE config_version >= $1) AS ready, count(*) AS live
FROM goald.leases WHERE slots IS NOT NULL AND expires_at > now()
"""
"""Counts live shards, and those that have loaded at least version $1 (E10)."""
