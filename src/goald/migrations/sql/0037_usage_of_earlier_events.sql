-- The bytes of the missed events that were stored before the triggers of 0036, while others write.
-- Events and usage are of one snapshot, and others change both in the same transaction, so the
-- difference is exact. All events are read before the first row of usage is locked, which an
-- incremental sort would not do. In the order of the keys, as the triggers.
SET LOCAL enable_incremental_sort = off;
INSERT INTO goald.missed_usage AS u (tenant_id, slot, bytes)
SELECT d.tenant_id, d.slot, sum(d.bytes)
FROM (
    SELECT m.tenant_id, m.slot, octet_length(m.payload)::bigint AS bytes FROM goald.missed_events m
    UNION ALL
    SELECT c.tenant_id, c.slot, -c.bytes FROM goald.missed_usage c
) AS d
GROUP BY d.tenant_id, d.slot
HAVING sum(d.bytes) <> 0
ORDER BY d.tenant_id, d.slot
ON CONFLICT (tenant_id, slot) DO UPDATE SET bytes = u.bytes + excluded.bytes;
