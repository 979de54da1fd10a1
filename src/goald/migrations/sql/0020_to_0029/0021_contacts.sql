-- The projection of contacts: what events say about them.

-- The tenants that have a projection: since the first `contact.updated` of the tenant. Only their
-- events about tags and stages are written, so that others cost nothing.
CREATE TABLE goald.contact_tenants (
    tenant_id text COLLATE "C" PRIMARY KEY,
    config_version bigint NOT NULL
);
CREATE INDEX contact_tenants_config_version ON goald.contact_tenants (config_version);

CREATE TABLE goald.contacts (
    tenant_id text COLLATE "C" NOT NULL,
    contact_id text COLLATE "C" NOT NULL,
    slot smallint NOT NULL CHECK (slot BETWEEN 0 AND 255),
    -- With its domain in lower case.
    email text,
    -- The address without regard to case, for look-up.
    email_key text COLLATE "C",
    -- E.164.
    phone text COLLATE "C",
    timezone text,
    opted_in boolean,
    attributes jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(attributes) = 'object'),
    -- A list of objects with `id`, `name` or both.
    tags jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(tags) = 'array'),
    -- The stage by pipeline.
    stages jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(stages) = 'object'),
    -- When each value was given, and by which events.
    stamps jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(stamps) = 'object'),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, contact_id)
) WITH (fillfactor = 85, vacuum_index_cleanup = on);
-- The planner's statistics would contain values of deleted contacts: ANALYZE keeps those of a table
-- that has become empty.
ALTER TABLE goald.contacts
    ALTER contact_id SET STATISTICS 0, ALTER email SET STATISTICS 0,
    ALTER email_key SET STATISTICS 0, ALTER phone SET STATISTICS 0,
    ALTER timezone SET STATISTICS 0, ALTER attributes SET STATISTICS 0,
    ALTER tags SET STATISTICS 0, ALTER stages SET STATISTICS 0, ALTER stamps SET STATISTICS 0;
CREATE INDEX contacts_email ON goald.contacts (tenant_id, email_key) WHERE email_key IS NOT NULL;
CREATE INDEX contacts_phone ON goald.contacts (tenant_id, phone) WHERE phone IS NOT NULL;

ALTER TABLE goald.contacts ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE goald.contact_tenants ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY shard_slots ON goald.contacts TO goald_shard
    USING (slot BETWEEN (SELECT goald.first_slot()) AND (SELECT goald.last_slot()));
CREATE POLICY api_tenant ON goald.contacts FOR SELECT TO goald_api
    USING (tenant_id = (SELECT goald.tenant()));
CREATE POLICY shard_reads ON goald.contact_tenants FOR SELECT TO goald_shard
    USING ((SELECT goald.first_slot()) >= 0);
CREATE POLICY owner_keeps ON goald.contact_tenants TO goald_owner USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON goald.contacts TO goald_shard;
GRANT SELECT ON goald.contacts TO goald_api;
GRANT SELECT ON goald.contact_tenants TO goald_shard;

-- These tenants have a projection from now on. Versions become visible in order, because taking one
-- holds a lock until the end of the transaction; therefore it is the last action of the
-- transaction. The lock is taken once for a tenant.
CREATE FUNCTION goald.keep_contacts(of_tenants text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (
        SELECT FROM unnest(of_tenants) AS n (tenant_id)
        WHERE NOT EXISTS (
            SELECT FROM goald.contact_tenants t WHERE t.tenant_id = n.tenant_id COLLATE "C"))
    THEN
        PERFORM pg_advisory_xact_lock(hashtext('goald.configuration'));
        INSERT INTO goald.contact_tenants (tenant_id, config_version)
        SELECT n.tenant_id, nextval('goald.config_version') FROM unnest(of_tenants) AS n (tenant_id)
        ON CONFLICT (tenant_id) DO NOTHING;
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION goald.keep_contacts(text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION goald.keep_contacts(text[]) TO goald_shard;
