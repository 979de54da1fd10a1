-- Sources: webhooks of providers, which the API receives.

CREATE TABLE goald.sources (
    tenant_id text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    preset text COLLATE "C" NOT NULL,
    -- The changes to the preset's document. Not jsonb, because the order of members matters.
    overrides json NOT NULL,
    -- The provider's secrets, encrypted together: a JSON list of texts. Absent in all three columns
    -- if the provider signs nothing.
    secret_count smallint NOT NULL DEFAULT 0,
    key_id text COLLATE "C",
    encrypted_secrets bytea CHECK (length(encrypted_secrets) BETWEEN 29 AND 65536),
    -- SHA-256 of the key in the path, and of the key before it until it expires. A key has 128
    -- random bits, so its digest need not be salted or slow.
    key_digest bytea NOT NULL CHECK (length(key_digest) = 32),
    key_created_at timestamptz NOT NULL DEFAULT now(),
    previous_key_digest bytea CHECK (length(previous_key_digest) = 32),
    previous_key_expires_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, name),
    CHECK ((secret_count > 0) = (encrypted_secrets IS NOT NULL)
        AND (encrypted_secrets IS NULL) = (key_id IS NULL)),
    CHECK ((previous_key_digest IS NULL) = (previous_key_expires_at IS NULL))
);
ALTER TABLE goald.sources ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY api_tenant ON goald.sources TO goald_api
    USING (tenant_id = (SELECT goald.tenant()));
GRANT SELECT, INSERT, UPDATE, DELETE ON goald.sources TO goald_api;

-- For `goald secrets rotate`, which encrypts the secrets of all tenants under the newest key.
CREATE POLICY owner_encrypts ON goald.sources FOR SELECT TO goald_owner USING (true);
CREATE POLICY owner_encrypts_all ON goald.sources FOR UPDATE TO goald_owner USING (true);

-- Neither secrets nor digests of keys are recorded. A change is recorded by `updated_at` or
-- `key_created_at`, so that an encryption under another key is not a change.
CREATE CONSTRAINT TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON goald.sources
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION goald.audit_change(
        'source', 'name', 'key_id', 'encrypted_secrets', 'key_digest', 'previous_key_digest');
