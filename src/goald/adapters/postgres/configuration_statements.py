"""The statements of the configuration, and what each guarantees.

All run as goald_api and see the one tenant that SET_TENANT named in their transaction;
without it they see nothing.
"""

SET_TENANT = "SELECT set_config('goald.tenant', $1, true)"

LOCK_CONFIGURATION = "SELECT pg_advisory_xact_lock(hashtext('goald.configuration'))"
"""One change at a time, of any tenant, so that versions become visible in their order."""

NEXT_VERSION = "SELECT nextval('goald.config_version')"

WORKFLOWS = "SELECT id, name, goal_logic, is_active FROM goald.workflows ORDER BY id"

GOALS = """
SELECT id, workflow_id, key, position, goal_type, criteria::text AS criteria, is_active,
       goald.us(effective_from) AS effective_from
FROM goald.workflow_goals WHERE deleted_at IS NULL ORDER BY workflow_id, position
"""

ENTITIES = "SELECT kind, entity_id AS id, name FROM goald.catalog_entities ORDER BY kind, entity_id"

SAVE_WORKFLOW = """
INSERT INTO goald.workflows (tenant_id, id, name, goal_logic, is_active, config_version)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (tenant_id, id) DO UPDATE
SET name = excluded.name, goal_logic = excluded.goal_logic, is_active = excluded.is_active,
    config_version = excluded.config_version, updated_at = now()
"""

TOUCH_WORKFLOW = """
UPDATE goald.workflows SET config_version = $3, updated_at = now()
WHERE tenant_id = $1 AND id = $2
"""
"""A workflow whose goals changed is a changed workflow: shards take it whole."""

ADD_GOAL = """
INSERT INTO goald.workflow_goals
    (tenant_id, id, workflow_id, key, position, goal_type, criteria, is_active, effective_from)
VALUES ($1, $2, $3, $4, $5, $6, $7::text::jsonb, $8, goald.at($9))
"""
"""Fails for a fourth living goal, and for one that the workflow has already."""

CHANGE_GOAL = """
UPDATE goald.workflow_goals
SET key = $3, goal_type = $4, criteria = $5::text::jsonb, is_active = $6,
    effective_from = goald.at($7), updated_at = now()
WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL
"""

DELETE_GOAL = """
UPDATE goald.workflow_goals SET deleted_at = now(), updated_at = now()
WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL
"""
"""Its achievements stay, and so does its row."""

SAVE_ENTITY = """
INSERT INTO goald.catalog_entities (tenant_id, kind, entity_id, name) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant_id, kind, entity_id) DO UPDATE SET name = excluded.name, updated_at = now()
"""

DELETE_ENTITY = """
DELETE FROM goald.catalog_entities WHERE tenant_id = $1 AND kind = $2 AND entity_id = $3
"""

ADD_NOTICE = """
INSERT INTO goald.outbox (tenant_id, slot, message_id, stream, payload)
VALUES ($1, $2, $3, $4, $5)
"""
"""Published by the shard of that slot, once this transaction is committed."""

HOLDERS = """
SELECT count(*) FILTER (WHERE config_version >= $1) AS ready, count(*) AS live
FROM goald.leases WHERE slots IS NOT NULL AND expires_at > now()
"""
