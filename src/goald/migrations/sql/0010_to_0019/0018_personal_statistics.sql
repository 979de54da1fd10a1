-- Personal data in the statistics of the planner.

-- ANALYZE stores samples of column values. Payloads are never a condition of a query, and the rows
-- of these two tables are found by keys, so their statistics are of no use. A table that becomes
-- empty would keep them, because ANALYZE skips it.
ALTER TABLE goald.workflow_goal_achievements
    ALTER COLUMN trigger_event SET STATISTICS 0, ALTER COLUMN metadata SET STATISTICS 0;
ALTER TABLE goald.outbox
    ALTER COLUMN payload SET STATISTICS 0, ALTER COLUMN contact_id SET STATISTICS 0;
ALTER TABLE goald.used_events
    ALTER COLUMN contact_id SET STATISTICS 0, ALTER COLUMN event SET STATISTICS 0;
-- Plans of queries by contact need those of each month, and not those of all months together.
ALTER TABLE ONLY goald.workflow_goal_achievements ALTER COLUMN contact_id SET STATISTICS 0;

-- Removes the samples of before. It rewrites neither a table nor an index.
ALTER TABLE goald.workflow_goal_achievements
    ALTER COLUMN trigger_event TYPE jsonb, ALTER COLUMN metadata TYPE jsonb;
ALTER TABLE goald.outbox ALTER COLUMN payload TYPE text;
ALTER TABLE goald.used_events
    ALTER COLUMN contact_id TYPE text COLLATE "C", ALTER COLUMN event TYPE uuid;

-- Brings the statistics of a table with contacts up to date, so that they contain no contact that
-- its rows do not. The job that finishes erasures calls it. Blocks neither reads nor writes.
CREATE FUNCTION goald.analyze_contacts(of_table oid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF of_table = 'goald.workflow_enrollments'::regclass OR of_table IN (
            SELECT inhrelid FROM pg_inherits
            WHERE inhparent = 'goald.workflow_goal_achievements'::regclass) THEN
        EXECUTE format('ANALYZE %s', of_table::regclass);
    END IF;
END
$$;
REVOKE ALL ON FUNCTION goald.analyze_contacts(oid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION goald.analyze_contacts(oid) TO goald_shard;

-- As in 0014, without statistics of payloads. A new partition does not inherit that.
CREATE OR REPLACE FUNCTION goald.make_months_of(parent text, ahead integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
    month timestamptz;
    name text;
    created integer := 0;
BEGIN
    FOR step IN -1..ahead LOOP
        month := date_trunc('month', now()) + make_interval(months => step);
        name := parent || to_char(month, '_YYYY_MM');
        CONTINUE WHEN to_regclass('goald.' || name) IS NOT NULL;
        EXECUTE format('CREATE TABLE goald.%I (LIKE goald.%I INCLUDING ALL) '
            'WITH (vacuum_index_cleanup = on)', name, parent);
        IF parent = 'workflow_goal_achievements' THEN
            EXECUTE format('ALTER TABLE goald.%I ALTER COLUMN trigger_event SET STATISTICS 0, '
                'ALTER COLUMN metadata SET STATISTICS 0', name);
        END IF;
        EXECUTE format(
            'ALTER TABLE goald.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'ALTER TABLE goald.%I ATTACH PARTITION goald.%I FOR VALUES FROM (%L) TO (%L)',
            parent, name, month, month + interval '1 month');
        created := created + 1;
    END LOOP;
    RETURN created;
END
$$;
