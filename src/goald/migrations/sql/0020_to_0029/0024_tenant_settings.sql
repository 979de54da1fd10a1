-- The settings of tenants. A tenant without a row has the defaults.
CREATE TABLE goald.tenant_settings (
    tenant_id text COLLATE "C" PRIMARY KEY,
    -- Names of tags are compared with regard to case.
    tag_case_sensitive boolean NOT NULL DEFAULT false,
    updated_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE goald.tenant_settings ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY api_tenant ON goald.tenant_settings TO goald_api
    USING (tenant_id = (SELECT goald.tenant()));
CREATE POLICY shard_reads ON goald.tenant_settings FOR SELECT TO goald_shard
    USING ((SELECT goald.first_slot()) >= 0);
GRANT SELECT, INSERT, UPDATE ON goald.tenant_settings TO goald_api;
GRANT SELECT ON goald.tenant_settings TO goald_shard;

CREATE CONSTRAINT TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON goald.tenant_settings
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION goald.audit_change(
        'settings', 'tenant_id', 'updated_at');
