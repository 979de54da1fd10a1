-- For concurrent editors and for HTTP callers: versions, actors, and webhook secrets.

-- Counts the changes of a row, from 1. ETag and If-Match carry it.
ALTER TABLE goald.workflows
    ADD COLUMN version integer NOT NULL DEFAULT 1,
    ADD COLUMN created_by text,
    ADD COLUMN updated_by text;
ALTER TABLE goald.workflow_goals
    ADD COLUMN version integer NOT NULL DEFAULT 1,
    ADD COLUMN updated_by text;

-- Gives these workflows the next configuration version. Shards load a changed workflow with all
-- its goals. Versions become visible in order, because taking one holds a lock until the end of
-- the transaction; therefore it is the last action of the transaction.
CREATE FUNCTION goald.take_config_version(of_tenant text, ids text[]) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    taken bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('goald.configuration'));
    taken := nextval('goald.config_version');
    UPDATE goald.workflows SET config_version = taken
    WHERE tenant_id = of_tenant AND id = ANY (ids);
    RETURN taken;
END
$$;
REVOKE EXECUTE ON FUNCTION goald.take_config_version(text, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION goald.take_config_version(text, text[]) TO goald_api;

-- The secrets of signed webhooks, one for each tenant and provider.
CREATE TABLE goald.webhook_secrets (
    tenant_id text COLLATE "C" NOT NULL,
    provider text COLLATE "C" NOT NULL,
    secret bytea NOT NULL CHECK (length(secret) BETWEEN 24 AND 64),
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text,
    PRIMARY KEY (tenant_id, provider)
);
ALTER TABLE goald.webhook_secrets ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY api_tenant ON goald.webhook_secrets TO goald_api
    USING (tenant_id = (SELECT goald.tenant()));
GRANT SELECT, INSERT, UPDATE, DELETE ON goald.webhook_secrets TO goald_api;

-- The process that changes a configuration publishes its messages and marks them. A shard
-- publishes those that were left unpublished. This applies to messages about workflows only;
-- messages about contacts belong to the shards.
CREATE POLICY api_reads_its_own ON goald.outbox FOR SELECT TO goald_api
    USING (tenant_id = (SELECT goald.tenant()) AND contact_id IS NULL);
CREATE POLICY api_marks_its_own ON goald.outbox FOR UPDATE TO goald_api
    USING (tenant_id = (SELECT goald.tenant()) AND contact_id IS NULL);
GRANT SELECT (number, tenant_id, contact_id, published_at), UPDATE (published_at)
    ON goald.outbox TO goald_api;
