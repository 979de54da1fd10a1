-- The bytes of the events that the paused workflows of a tenant missed (E19), which have a limit. Each
-- shard changes the rows of its slots only.
CREATE TABLE goald.missed_usage (
    tenant_id text COLLATE "C" NOT NULL,
    slot smallint NOT NULL CHECK (slot BETWEEN 0 AND 255),
    bytes bigint NOT NULL,
    PRIMARY KEY (tenant_id, slot)
);
-- No event is kept or removed until the triggers exist.
ALTER TABLE goald.missed_events NO FORCE ROW LEVEL SECURITY;
INSERT INTO goald.missed_usage (tenant_id, slot, bytes)
SELECT m.tenant_id, m.slot, sum(octet_length(m.payload)) FROM goald.missed_events m GROUP BY 1, 2;
ALTER TABLE goald.missed_events FORCE ROW LEVEL SECURITY;
ALTER TABLE goald.missed_usage ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY shard_slots ON goald.missed_usage TO goald_shard
    USING (slot BETWEEN (SELECT goald.first_slot()) AND (SELECT goald.last_slot()));
-- The limit is that of a tenant, in all slots.
CREATE POLICY shard_reads ON goald.missed_usage FOR SELECT TO goald_shard
    USING ((SELECT goald.first_slot()) >= 0);
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

CREATE TRIGGER count_added AFTER INSERT ON goald.missed_events
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION goald.count_missed();
CREATE TRIGGER count_removed AFTER DELETE ON goald.missed_events
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION goald.count_missed();
