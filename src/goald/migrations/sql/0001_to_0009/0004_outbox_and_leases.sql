-- The outbox, and the leases.

-- A message is written in the transaction of its cause, published after it, marked, and deleted
-- when it need not be published again (D10). Numbers ascend in the order of writing. No tenant
-- can choose a number, so the number alone is the key.
CREATE TABLE goald.outbox (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id text COLLATE "C" NOT NULL,
    slot smallint NOT NULL CHECK (slot BETWEEN 0 AND 255),
    -- NULL for a message about a workflow.
    contact_id text COLLATE "C",
    message_id text NOT NULL,
    stream text NOT NULL,
    -- JSON. Redacted after publication if the contact is deleted.
    payload text NOT NULL,
    -- The contact was deleted before publication: redact the payload when the row is marked.
    redact_when_published boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    published_at timestamptz
);
-- Finds unpublished rows (few) and rows that were published long ago.
CREATE INDEX outbox_published_at ON goald.outbox (published_at);
CREATE INDEX outbox_contact ON goald.outbox (tenant_id, contact_id)
    WHERE contact_id IS NOT NULL;

CREATE SEQUENCE goald.lease_epoch;

-- The right to a range of slots, or to a stream. Two ranges never overlap. A new holder deletes
-- overlapping rows. A commit holds a key lock on its row, so that a new holder waits for it,
-- while renewals, which change no key, do not wait.
CREATE TABLE goald.leases (
    epoch bigint PRIMARY KEY DEFAULT nextval('goald.lease_epoch'),
    slots int4range CHECK (NOT isempty(slots) AND slots <@ int4range(0, 256)),
    stream text COLLATE "C" UNIQUE,
    holder text NOT NULL,
    -- The backend that commits for the holder. A new holder terminates it.
    backend_pid integer,
    -- The configuration version that the holder has loaded.
    config_version bigint NOT NULL DEFAULT 0,
    taken_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    CHECK ((slots IS NULL) <> (stream IS NULL)),
    EXCLUDE USING gist (slots WITH &&)
) WITH (fillfactor = 50);

ALTER TABLE goald.outbox ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE goald.leases ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

CREATE POLICY shard_slots ON goald.outbox TO goald_shard
    USING (slot BETWEEN (SELECT goald.first_slot()) AND (SELECT goald.last_slot()));
CREATE POLICY api_tenant ON goald.outbox FOR INSERT TO goald_api
    WITH CHECK (tenant_id = (SELECT goald.tenant()));
-- Leases contain no tenant data.
CREATE POLICY shard_all ON goald.leases TO goald_shard USING (true);
CREATE POLICY api_reads ON goald.leases FOR SELECT TO goald_api USING (true);

GRANT SELECT, INSERT, DELETE ON goald.outbox TO goald_shard;
GRANT UPDATE (payload, redact_when_published, published_at) ON goald.outbox TO goald_shard;
GRANT INSERT ON goald.outbox TO goald_api;
GRANT USAGE ON SEQUENCE goald.lease_epoch TO goald_shard;
GRANT SELECT, INSERT, DELETE ON goald.leases TO goald_shard;
GRANT UPDATE (expires_at, config_version, backend_pid) ON goald.leases TO goald_shard;
GRANT SELECT ON goald.leases TO goald_api;
