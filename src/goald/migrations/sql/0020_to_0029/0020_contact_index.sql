-- The enrollments of a contact, the active ones apart from its history.

-- An active enrollment has no ended_at. So the active ones of a contact are one range of this
-- index, however many have ended, and the ended ones are in the order of their ends.
CREATE INDEX workflow_enrollments_of_contact
    ON goald.workflow_enrollments (tenant_id, contact_id, ended_at);
DROP INDEX goald.workflow_enrollments_contact;

-- Created again, to remain the newest: see the end of 0003.
ALTER TABLE goald.workflow_enrollments DROP CONSTRAINT workflow_enrollments_pkey;
ALTER TABLE goald.workflow_enrollments ADD PRIMARY KEY (tenant_id, id);
