-- One event counts in one run (E11).

-- Numbers the uses of events. An enrollment excludes the events used up to its `used_before`.
CREATE SEQUENCE goald.used_event_number;

-- The events that counted for a contact in a workflow. `event` is derived from source and id.
CREATE TABLE goald.used_events (
    tenant_id text COLLATE "C" NOT NULL,
    contact_id text COLLATE "C" NOT NULL,
    workflow_id text COLLATE "C" NOT NULL,
    event uuid NOT NULL,
    slot smallint NOT NULL CHECK (slot BETWEEN 0 AND 255),
    -- When the latest enrollment began for which the event counted.
    enrolled_at timestamptz NOT NULL,
    number bigint NOT NULL,
    used_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, contact_id, workflow_id, event)
);
-- For retention. Rows are added in this order.
CREATE INDEX used_events_used_at ON goald.used_events (used_at);

ALTER TABLE goald.workflow_enrollments
    ADD COLUMN started_by uuid,
    -- Null if no event had counted for the contact in the workflow.
    ADD COLUMN used_before bigint;

ALTER TABLE goald.used_events ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY shard_slots ON goald.used_events TO goald_shard
    USING (slot BETWEEN (SELECT goald.first_slot()) AND (SELECT goald.last_slot()));
CREATE POLICY api_tenant ON goald.used_events FOR SELECT TO goald_api
    USING (tenant_id = (SELECT goald.tenant()));
GRANT SELECT, INSERT, DELETE ON goald.used_events TO goald_shard;
GRANT UPDATE (enrolled_at) ON goald.used_events TO goald_shard;
GRANT SELECT ON goald.used_events TO goald_api;
GRANT USAGE ON SEQUENCE goald.used_event_number TO goald_shard;
