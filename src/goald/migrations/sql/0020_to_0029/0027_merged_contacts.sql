-- Merged contacts (E21).

-- The secret of the keys of forwards.
CREATE TABLE goald.forward_secret (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    secret text NOT NULL
);
INSERT INTO goald.forward_secret (secret)
SELECT encode(sha256(convert_to(string_agg(gen_random_uuid()::text, ''), 'UTF8')), 'hex')
FROM generate_series(1, 8);

-- Numbers the changes of forwards, so that a shard reads the new ones.
CREATE SEQUENCE goald.forward_number;

-- The contacts that were merged into others. A row does not contain the id of the merged contact,
-- so that it remains when that contact is deleted.
CREATE TABLE goald.forwards (
    tenant_id text COLLATE "C" NOT NULL,
    -- Derived from the secret and the merged contact (goald.domain.contacts.forwards).
    key uuid NOT NULL,
    -- Of the merged contact.
    slot smallint NOT NULL CHECK (slot BETWEEN 0 AND 255),
    -- NULL if that contact was deleted: then the merged contact begins a new life.
    into_contact_id text COLLATE "C",
    merged_at timestamptz NOT NULL,
    number bigint NOT NULL DEFAULT nextval('goald.forward_number'),
    PRIMARY KEY (tenant_id, key)
);
CREATE INDEX forwards_number ON goald.forwards (number);
CREATE INDEX forwards_into ON goald.forwards (tenant_id, into_contact_id)
    WHERE into_contact_id IS NOT NULL;

-- The merges whose enrollments have not all moved. While a contact has a row, its enrollments
-- belong to no shard.
CREATE TABLE goald.transfers (
    id uuid PRIMARY KEY,
    tenant_id text COLLATE "C" NOT NULL,
    contact_id text COLLATE "C" NOT NULL,
    slot smallint NOT NULL CHECK (slot BETWEEN 0 AND 255),
    into_contact_id text COLLATE "C" NOT NULL,
    into_slot smallint NOT NULL CHECK (into_slot BETWEEN 0 AND 255),
    merged_at timestamptz NOT NULL,
    -- When Redis received the merge.
    notified_at timestamptz NOT NULL,
    -- The projection of the merged contact.
    contact jsonb,
    -- When the active enrollments moved. Ended ones may follow.
    adopted_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX transfers_contact ON goald.transfers (tenant_id, contact_id);
CREATE INDEX transfers_into ON goald.transfers (tenant_id, into_contact_id);
CREATE INDEX transfers_into_slot ON goald.transfers (into_slot);
ALTER TABLE goald.forwards ALTER into_contact_id SET STATISTICS 0;
ALTER TABLE goald.transfers
    ALTER contact_id SET STATISTICS 0, ALTER into_contact_id SET STATISTICS 0,
    ALTER contact SET STATISTICS 0;

ALTER TABLE goald.forward_secret ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE goald.forwards ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE goald.transfers ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY shard_reads ON goald.forward_secret FOR SELECT TO goald_shard USING (true);
CREATE POLICY api_reads ON goald.forward_secret FOR SELECT TO goald_api USING (true);
-- A merge follows the forwards of contacts in other slots, and lets those to the merged contact
-- continue to the next.
CREATE POLICY shard_reads ON goald.forwards FOR SELECT TO goald_shard
    USING ((SELECT goald.first_slot()) >= 0);
CREATE POLICY shard_adds ON goald.forwards FOR INSERT TO goald_shard
    WITH CHECK (slot BETWEEN (SELECT goald.first_slot()) AND (SELECT goald.last_slot()));
CREATE POLICY shard_changes ON goald.forwards FOR UPDATE TO goald_shard
    USING ((SELECT goald.first_slot()) >= 0);
CREATE POLICY api_tenant ON goald.forwards FOR SELECT TO goald_api
    USING (tenant_id = (SELECT goald.tenant()));
-- A transfer belongs to both of its ends. A merge of its target gives it another target, which may be
-- in other slots: Postgres checks that the new row is visible too.
CREATE POLICY shard_reads ON goald.transfers FOR SELECT TO goald_shard
    USING ((SELECT goald.first_slot()) >= 0);
CREATE POLICY shard_adds ON goald.transfers FOR INSERT TO goald_shard
    WITH CHECK (slot BETWEEN (SELECT goald.first_slot()) AND (SELECT goald.last_slot()));
CREATE POLICY shard_changes ON goald.transfers FOR UPDATE TO goald_shard
    USING (into_slot BETWEEN (SELECT goald.first_slot()) AND (SELECT goald.last_slot()))
    WITH CHECK ((SELECT goald.first_slot()) >= 0);
CREATE POLICY shard_ends ON goald.transfers FOR DELETE TO goald_shard
    USING (into_slot BETWEEN (SELECT goald.first_slot()) AND (SELECT goald.last_slot()));
GRANT SELECT ON goald.forward_secret TO goald_shard, goald_api;
GRANT SELECT, INSERT ON goald.forwards TO goald_shard;
GRANT UPDATE (into_contact_id, merged_at, number) ON goald.forwards TO goald_shard;
GRANT SELECT ON goald.forwards TO goald_api;
GRANT USAGE ON SEQUENCE goald.forward_number TO goald_shard;
GRANT SELECT, INSERT, DELETE ON goald.transfers TO goald_shard;
GRANT UPDATE (into_contact_id, into_slot, adopted_at, contact) ON goald.transfers TO goald_shard;

-- When Redis received the event. NULL in rows of the previous release.
ALTER TABLE goald.used_events ADD COLUMN received_at timestamptz;

-- The shard of the other contact moves the rows.
GRANT UPDATE (slot, used_before, received_at) ON goald.workflow_enrollments TO goald_shard;
GRANT UPDATE (slot) ON goald.workflow_goal_achievements TO goald_shard;
GRANT UPDATE (number) ON goald.used_events TO goald_shard;
