-- The configuration: workflows, their goals, and the entities that goals refer to.
-- The platform's ids use collation "C": comparison by bytes is faster, and does not depend on
-- the server's locale.

-- Each configuration change takes the next version under one advisory lock, so that a visible
-- version is never followed by a smaller one.
CREATE SEQUENCE goald.config_version;
GRANT USAGE ON SEQUENCE goald.config_version TO goald_api;

CREATE TABLE goald.workflows (
    tenant_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    name text NOT NULL,
    goal_logic text NOT NULL DEFAULT 'any' CHECK (goal_logic IN ('any', 'all')),
    is_active boolean NOT NULL DEFAULT false,
    config_version bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id)
);
-- Shards read the workflows that changed after a version.
CREATE INDEX workflows_config_version ON goald.workflows (config_version);

CREATE TABLE goald.workflow_goals (
    tenant_id text COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    workflow_id text COLLATE "C" NOT NULL,
    -- The key that `goald apply` may give a goal, which identifies it when its criteria change.
    key text COLLATE "C",
    -- The position among the workflow's goals that are not deleted. There are three positions, so
    -- that the limit of 3 goals holds under concurrent inserts.
    position smallint NOT NULL CHECK (position BETWEEN 0 AND 2),
    goal_type text NOT NULL CHECK (goal_type IN (
        'tag_added', 'purchase_made', 'appointment_booked', 'form_submitted',
        'pipeline_stage_reached')),
    -- Only the criteria that are set. Amounts are JSON numbers, which jsonb keeps exactly and
    -- compares by value.
    criteria jsonb NOT NULL CHECK (jsonb_typeof(criteria) = 'object' AND criteria <> '{}'),
    is_active boolean NOT NULL DEFAULT true,
    -- NULL until it is set, or until the workflow is first active with the goal (E3).
    effective_from timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    created_by text,
    -- A deleted goal is kept for its achievements.
    deleted_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, workflow_id) REFERENCES goald.workflows (tenant_id, id)
);
CREATE UNIQUE INDEX workflow_goals_position
    ON goald.workflow_goals (tenant_id, workflow_id, position) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX workflow_goals_criteria
    ON goald.workflow_goals (tenant_id, workflow_id, goal_type, criteria)
    WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX workflow_goals_key
    ON goald.workflow_goals (tenant_id, workflow_id, key) WHERE deleted_at IS NULL;

CREATE TABLE goald.catalog_entities (
    tenant_id text COLLATE "C" NOT NULL,
    kind text NOT NULL CHECK (kind IN (
        'tag', 'form', 'calendar', 'service', 'pipeline', 'stage', 'product')),
    entity_id text COLLATE "C" NOT NULL,
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, kind, entity_id)
);

ALTER TABLE goald.workflows ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE goald.workflow_goals ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE goald.catalog_entities ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

-- A scalar subquery is evaluated once for each statement, not once for each row.
CREATE POLICY api_tenant ON goald.workflows TO goald_api
    USING (tenant_id = (SELECT goald.tenant()));
CREATE POLICY api_tenant ON goald.workflow_goals TO goald_api
    USING (tenant_id = (SELECT goald.tenant()));
CREATE POLICY api_tenant ON goald.catalog_entities TO goald_api
    USING (tenant_id = (SELECT goald.tenant()));

-- A workflow's contacts are in all slots, so every shard reads every workflow, once it has
-- set its slots.
CREATE POLICY shard_reads ON goald.workflows FOR SELECT TO goald_shard
    USING ((SELECT goald.first_slot()) >= 0);
CREATE POLICY shard_reads ON goald.workflow_goals FOR SELECT TO goald_shard
    USING ((SELECT goald.first_slot()) >= 0);

GRANT SELECT, INSERT, UPDATE ON goald.workflows, goald.workflow_goals TO goald_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON goald.catalog_entities TO goald_api;
GRANT SELECT ON goald.workflows, goald.workflow_goals TO goald_shard;
