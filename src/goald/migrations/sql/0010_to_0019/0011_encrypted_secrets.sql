-- Webhook secrets are encrypted. `secret` holds plain text that the previous release wrote, until
-- `goald secrets rotate` encrypts it; it takes precedence, because the previous release does not
-- change the other columns. The previous release finds no secret in an encrypted row.
ALTER TABLE goald.webhook_secrets
    ALTER COLUMN secret DROP NOT NULL,
    ADD COLUMN key_id text COLLATE "C",
    ADD COLUMN encrypted_secret bytea CHECK (length(encrypted_secret) BETWEEN 29 AND 1024),
    ADD CONSTRAINT webhook_secrets_has_secret
        CHECK (secret IS NOT NULL OR (key_id IS NOT NULL AND encrypted_secret IS NOT NULL));

-- For `goald secrets rotate`, which encrypts the secrets of all tenants under the newest key.
CREATE POLICY owner_encrypts ON goald.webhook_secrets FOR SELECT TO goald_owner USING (true);
CREATE POLICY owner_encrypts_all ON goald.webhook_secrets FOR UPDATE TO goald_owner USING (true);

-- Neither plain nor encrypted secrets are recorded. A change is recorded by `created_at`, which
-- every change over the API sets, so that an encryption under another key is not a change.
DROP TRIGGER audit ON goald.webhook_secrets;
CREATE CONSTRAINT TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON goald.webhook_secrets
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION goald.audit_change(
        'webhook', 'provider', 'secret', 'key_id', 'encrypted_secret');
