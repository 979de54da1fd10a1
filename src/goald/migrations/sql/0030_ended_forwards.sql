-- The end of a forward when the contact that continues is deleted (E21).

ALTER TABLE goald.forwards
    -- When that contact was deleted. Until then, the merged contact was the same person.
    ADD COLUMN deleted_at timestamptz,
    -- The merged contact, as in erasures.
    ADD COLUMN mark bytea,
    -- The merges of the merged contact, by the keys of their events, the latest last: a merge that is
    -- delivered again is none.
    ADD COLUMN events uuid[] NOT NULL DEFAULT '{}';
GRANT UPDATE (deleted_at, mark, events) ON goald.forwards TO goald_shard;

-- A merge asks whether the contact that continues was deleted, which may be in other slots.
CREATE POLICY shard_reads ON goald.erasures FOR SELECT TO goald_shard
    USING ((SELECT goald.first_slot()) >= 0);
