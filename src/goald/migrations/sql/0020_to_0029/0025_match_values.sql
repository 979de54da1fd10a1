-- The values that an enrollment carries, and that its goals may compare with events (E17).

-- Null for most enrollments. They may be personal, and no query has a condition on them, so the
-- planner keeps no samples.
ALTER TABLE goald.workflow_enrollments ADD COLUMN match_values jsonb;
ALTER TABLE goald.workflow_enrollments ALTER COLUMN match_values SET STATISTICS 0;
-- The erasure of a contact removes them.
GRANT UPDATE (match_values) ON goald.workflow_enrollments TO goald_shard;
