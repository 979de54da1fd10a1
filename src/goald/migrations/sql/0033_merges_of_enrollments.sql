-- The merges that moved a contact, an enrollment or a used event, each by when Redis received it
-- (microseconds), in order. An event counts for the enrollments that its contact had when Redis received it (E21).
ALTER TABLE goald.forwards ADD COLUMN merges bigint[] NOT NULL DEFAULT '{}';
ALTER TABLE goald.transfers ADD COLUMN merges bigint[] NOT NULL DEFAULT '{}';
ALTER TABLE goald.workflow_enrollments ADD COLUMN merges bigint[];
ALTER TABLE goald.used_events ADD COLUMN merges bigint[];

-- As goald.domain.contacts.forwards.join_merges.
CREATE FUNCTION goald.join_merges(before bigint[], later bigint[]) RETURNS bigint[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN (
    SELECT coalesce(array_agg(kept.merge ORDER BY kept.merge), '{}')
    FROM (SELECT m.merge FROM unnest(before || ARRAY(
              SELECT n.merge FROM unnest(later) AS n (merge)
              WHERE n.merge > coalesce(before[cardinality(before)], 0))) AS m (merge)
          ORDER BY m.merge DESC LIMIT 8) AS kept
);
REVOKE EXECUTE ON FUNCTION goald.join_merges(bigint[], bigint[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION goald.join_merges(bigint[], bigint[]) TO goald_shard;

GRANT UPDATE (merges) ON goald.forwards, goald.transfers, goald.workflow_enrollments
    TO goald_shard;
