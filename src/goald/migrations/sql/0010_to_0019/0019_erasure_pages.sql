-- Erasure in pages, after the transaction of the deletion.

-- The id of a deleted contact while rows contain it. NULL once a job has replaced it in all rows.
ALTER TABLE goald.erasures
    ADD COLUMN contact_id text COLLATE "C",
    -- Above the numbers of the uses that were committed before the deletion.
    ADD COLUMN used_before bigint,
    ALTER COLUMN contact_id SET STATISTICS 0;
CREATE INDEX erasures_to_rewrite ON goald.erasures (requested_at) WHERE contact_id IS NOT NULL;
-- For commits that look for used events: those of a deleted contact do not count.
CREATE INDEX erasures_contact ON goald.erasures (tenant_id, contact_id)
    WHERE contact_id IS NOT NULL;
GRANT UPDATE (contact_id, used_before) ON goald.erasures TO goald_shard;
-- A dry run looks for used events too.
CREATE POLICY api_tenant ON goald.erasures FOR SELECT TO goald_api
    USING (tenant_id = (SELECT goald.tenant()));
GRANT SELECT (tenant_id, contact_id, deleted_at, used_before) ON goald.erasures TO goald_api;

ALTER TABLE goald.workflow_enrollments
    -- When Redis received the start, if enrolled_at is later: the enrollment begins at the earlier.
    ADD COLUMN received_at timestamptz,
    -- When the deletion was committed that erased the row. NULL in rows of the previous release.
    ADD COLUMN erased_at timestamptz;
CREATE INDEX workflow_enrollments_ahead ON goald.workflow_enrollments (tenant_id, contact_id)
    WHERE status = 'active' AND received_at IS NOT NULL;
GRANT UPDATE (erased_at) ON goald.workflow_enrollments TO goald_shard;
