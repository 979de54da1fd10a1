-- Events that paused workflows miss (E19).

-- An activation may exit the enrollments that met a goal while the workflow was inactive.
ALTER TABLE goald.workflows ADD COLUMN exits_missed boolean NOT NULL DEFAULT false;

-- The events that would have counted, each once. `payload` is the entry of its stream. `old_tags`
-- are the positions of the tags in its list that the contact had before (E16).
CREATE TABLE goald.missed_events (
    tenant_id text COLLATE "C" NOT NULL,
    contact_id text COLLATE "C" NOT NULL,
    event uuid NOT NULL,
    slot smallint NOT NULL CHECK (slot BETWEEN 0 AND 255),
    entry_id text COLLATE "C" NOT NULL,
    payload bytea NOT NULL,
    old_tags integer[] NOT NULL,
    missed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, contact_id, event)
);
-- The enrollments for which they would have counted: of each, the first.
CREATE TABLE goald.missed_runs (
    tenant_id text COLLATE "C" NOT NULL,
    enrollment_id text COLLATE "C" NOT NULL,
    workflow_id text COLLATE "C" NOT NULL,
    contact_id text COLLATE "C" NOT NULL,
    event uuid NOT NULL,
    slot smallint NOT NULL CHECK (slot BETWEEN 0 AND 255),
    missed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, enrollment_id)
);
CREATE INDEX missed_runs_workflow ON goald.missed_runs (tenant_id, workflow_id);
CREATE INDEX missed_runs_contact ON goald.missed_runs (tenant_id, contact_id);
-- For retention. Rows are added in this order.
CREATE INDEX missed_runs_missed_at ON goald.missed_runs (missed_at);
CREATE INDEX missed_events_missed_at ON goald.missed_events (missed_at);

-- No query has a condition on personal data that needs samples of it (see 0018).
ALTER TABLE goald.missed_events ALTER COLUMN contact_id SET STATISTICS 0,
    ALTER COLUMN event SET STATISTICS 0, ALTER COLUMN payload SET STATISTICS 0,
    ALTER COLUMN old_tags SET STATISTICS 0;
ALTER TABLE goald.missed_runs ALTER COLUMN contact_id SET STATISTICS 0,
    ALTER COLUMN event SET STATISTICS 0;

ALTER TABLE goald.missed_events ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE goald.missed_runs ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY shard_slots ON goald.missed_events TO goald_shard
    USING (slot BETWEEN (SELECT goald.first_slot()) AND (SELECT goald.last_slot()));
CREATE POLICY shard_slots ON goald.missed_runs TO goald_shard
    USING (slot BETWEEN (SELECT goald.first_slot()) AND (SELECT goald.last_slot()));
-- An activation counts them.
CREATE POLICY api_tenant ON goald.missed_runs FOR SELECT TO goald_api
    USING (tenant_id = (SELECT goald.tenant()));
GRANT SELECT, INSERT, UPDATE, DELETE ON goald.missed_events, goald.missed_runs TO goald_shard;
GRANT SELECT ON goald.missed_runs TO goald_api;
