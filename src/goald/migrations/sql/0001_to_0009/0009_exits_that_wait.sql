-- Exits that wait for an acknowledgement, so that they can be published again.

-- The enrollment of the exit while it waits; NULL for every other message, and for all messages
-- if exits are not published again, so that the feature costs nothing when it is off. The
-- previous release writes no such rows, and deletes them by age as it deletes others.
ALTER TABLE goald.outbox ADD COLUMN enrollment_id text COLLATE "C";
-- Finds the exits that are due, oldest publication first.
CREATE INDEX outbox_waiting ON goald.outbox (published_at) WHERE enrollment_id IS NOT NULL;
GRANT UPDATE (enrollment_id) ON goald.outbox TO goald_shard;
