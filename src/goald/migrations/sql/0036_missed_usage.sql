-- The bytes of the events that the paused workflows of a tenant missed (E19), which have a limit. Each
-- shard changes the rows of its slots only. 0037 adds the events of before.
CREATE TABLE goald.missed_usage (
    tenant_id text COLLATE "C" NOT NULL,
    slot smallint NOT NULL CHECK (slot BETWEEN 0 AND 255),
    bytes bigint NOT NULL,
    PRIMARY KEY (tenant_id, slot)
);
ALTER TABLE goald.missed_usage ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY shard_slots ON goald.missed_usage TO goald_shard
    USING (slot BETWEEN (SELECT goald.first_slot()) AND (SELECT goald.last_slot()));
-- The limit is that of a tenant, in all slots.
CREATE POLICY shard_reads ON goald.missed_usage FOR SELECT TO goald_shard
    USING ((SELECT goald.first_slot()) >= 0);
CREATE POLICY owner_counts ON goald.missed_usage TO goald_owner USING (true);
GRANT SELECT, INSERT, UPDATE ON goald.missed_usage TO goald_shard;

-- In the order of the keys, so that two statements cannot wait for each other.
CREATE FUNCTION goald.count_missed() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO goald.missed_usage AS u (tenant_id, slot, bytes)
    SELECT c.tenant_id, c.slot,
           sum(octet_length(c.payload)) * CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END
    FROM changed c GROUP BY c.tenant_id, c.slot ORDER BY c.tenant_id, c.slot
    ON CONFLICT (tenant_id, slot) DO UPDATE SET bytes = u.bytes + excluded.bytes;
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION goald.count_missed() FROM PUBLIC;

-- Last, because they lock the table until the end of the transaction.
CREATE POLICY owner_counts ON goald.missed_events FOR SELECT TO goald_owner USING (true);
CREATE TRIGGER count_added AFTER INSERT ON goald.missed_events
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION goald.count_missed();
CREATE TRIGGER count_removed AFTER DELETE ON goald.missed_events
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION goald.count_missed();
