-- The ends of a tenant's enrollments, otherwise than by goals, in the order in which a shard loads
-- those of a slot, in pages, the latest first (E18). An exit by goals does not write to this index.
-- The ids are cast so that only this statement can use them, and it may be newer than the key: see
-- 0008 and the end of 0003.

-- An interrupted build leaves an index that is not valid.
DROP INDEX CONCURRENTLY IF EXISTS goald.workflow_enrollments_ends;

CREATE INDEX CONCURRENTLY workflow_enrollments_ends ON goald.workflow_enrollments
    (tenant_id COLLATE "POSIX", slot, ended_at, id COLLATE "POSIX")
    WHERE status IN ('completed', 'exited', 'cancelled')
        AND NOT starts_with(contact_id, 'erased:');
