-- Transfers that Postgres refuses for the content of a row wait, and hold up no other (E21).

ALTER TABLE goald.transfers
    -- Why the last attempt was refused, without values of rows. NULL if none was.
    ADD COLUMN reason text,
    -- When the first attempt was refused.
    ADD COLUMN refused_at timestamptz,
    -- When the next attempt is due.
    ADD COLUMN retry_at timestamptz;
GRANT UPDATE (reason, refused_at, retry_at) ON goald.transfers TO goald_shard;
