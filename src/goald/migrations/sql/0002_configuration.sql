-- What is configured: workflows, their goals, and the entities that goals refer to.
-- Ids that the platform owns are compared byte by byte: quicker, and the same whatever
-- the server's locale.

-- Each change of the configuration takes the next one, under one advisory lock, so that a
-- version that can be seen is never followed by a smaller one.
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
-- For the shards, which ask for what changed after a version.
CREATE INDEX workflows_config_version ON goald.workflows (config_version);

CREATE TABLE goald.workflow_goals (
    tenant_id text COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    workflow_id text COLLATE "C" NOT NULL,
    -- The name that `goald apply` may give a goal, to know it by when its criteria change.
    key text COLLATE "C",
    -- Its place among the workflow's living goals. Three places: the limit of 3 goals holds
    -- whoever adds them at once.
    position smallint NOT NULL CHECK (position BETWEEN 0 AND 2),
    goal_type text NOT NULL CHECK (goal_type IN (
        'tag_added', 'purchase_made', 'appointment_booked', 'form_submitted',
        'pipeline_stage_reached')),
    -- What is set and nothing else; amounts are JSON numbers, which jsonb keeps exactly and
    -- compares by value.
    criteria jsonb NOT NULL CHECK (jsonb_typeof(criteria) = 'object' AND criteria <> '{}'),
    is_active boolean NOT NULL DEFAULT true,
    -- NULL until somebody sets it or the workflow is first active with it (E3).
    effective_from timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    created_by text,
    -- A deleted goal stays, for its achievements.
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

-- The scalar subqueries are evaluated once a statement, not once a row.
CREATE POLICY api_tenant ON goald.workflows TO goald_api
    USING (tenant_id = (SELECT goald.tenant()));
CREATE POLICY api_tenant ON goald.workflow_goals TO goald_api
    USING (tenant_id = (SELECT goald.tenant()));
CREATE POLICY api_tenant ON goald.catalog_entities TO goald_api
    USING (tenant_id = (SELECT goald.tenant()));

-- A workflow's contacts lie in all slots: every shard reads every workflow, once it has
-- said which slots it is.
CREATE POLICY shard_reads ON goald.workflows FOR SELECT TO goald_shard
    USING ((SELECT goald.first_slot()) >= 0);
CREATE POLICY shard_reads ON goald.workflow_goals FOR SELECT TO goald_shard
    USING ((SELECT goald.first_slot()) >= 0);

GRANT SELECT, INSERT, UPDATE ON goald.workflows, goald.workflow_goals TO goald_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON goald.catalog_entities TO goald_api;
GRANT SELECT ON goald.workflows, goald.workflow_goals TO goald_shard;
