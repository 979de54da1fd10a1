-- Removal of contact ids from indexes by every vacuum.

-- By default, vacuum leaves dead entries in indexes if less than 2% of a table's pages have dead
-- rows. The ids of deleted contacts would then stay in the files of the indexes.
ALTER TABLE goald.workflow_enrollments SET (vacuum_index_cleanup = on);
ALTER TABLE goald.outbox SET (vacuum_index_cleanup = on);
DO $$
DECLARE
    month regclass;
BEGIN
    FOR month IN SELECT inhrelid FROM pg_inherits WHERE inhparent IN (
            'goald.workflow_goal_achievements'::regclass, 'goald.audit_log'::regclass)
    LOOP
        EXECUTE format('ALTER TABLE %s SET (vacuum_index_cleanup = on)', month);
    END LOOP;
END
$$;

-- As in 0007, with this parameter, which a partitioned table cannot have.
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
