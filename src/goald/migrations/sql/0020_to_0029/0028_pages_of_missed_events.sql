-- Shards read and remove the missed events of a workflow in pages (E19), in the order of this index.
-- They see ranges of slots.
CREATE INDEX missed_runs_pages ON goald.missed_runs (tenant_id, workflow_id, slot, enrollment_id);
DROP INDEX goald.missed_runs_workflow;
-- Finds an enrollment that missed an event, among any number of enrollments of its contact.
CREATE INDEX missed_runs_event ON goald.missed_runs (tenant_id, contact_id, event);
DROP INDEX goald.missed_runs_contact;
