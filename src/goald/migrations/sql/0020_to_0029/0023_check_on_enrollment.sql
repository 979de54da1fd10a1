-- Goals that a state of the contact meets when its enrollment starts.
ALTER TABLE goald.workflow_goals ADD COLUMN check_on_enrollment boolean NOT NULL DEFAULT false;
