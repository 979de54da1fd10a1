-- Exits that wait to be acknowledged, so that they can be published again (3.2).

-- The enrollment whose exit this is, while it waits; NULL for every other message, and for all
-- where exits are not published again, so that who does not want it pays nothing. The previous
-- release writes no such rows, and deletes them when they are old, as it does others.
ALTER TABLE goald.outbox ADD COLUMN enrollment_id text COLLATE "C";
-- Finds the exits that are due, those published longest ago first.
CREATE INDEX outbox_waiting ON goald.outbox (published_at) WHERE enrollment_id IS NOT NULL;
GRANT UPDATE (enrollment_id) ON goald.outbox TO goald_shard;
