-- Counts for statistics, maintained in every transaction that changes an enrollment. They are
-- kept when months of achievements are dropped.

-- The greatest achieved_at of the enrollment (E6), and the goal types that it has met, one bit
-- each.
ALTER TABLE goald.workflow_enrollments
    ADD COLUMN last_achieved_at timestamptz,
    ADD COLUMN met_types smallint NOT NULL DEFAULT 0;

CREATE FUNCTION goald.goal_type_bit(goal_type text) RETURNS smallint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE goal_type
        WHEN 'tag_added' THEN 1 WHEN 'purchase_made' THEN 2 WHEN 'appointment_booked' THEN 4
        WHEN 'form_submitted' THEN 8 WHEN 'pipeline_stage_reached' THEN 16 ELSE 0
    END::smallint
$$;

-- The time from enrollment to goal in microseconds (E6); NULL if the goal is not reached. Never
-- negative: with clock skew an achievement may precede its enrollment. (If the previous release
-- wrote the row, its end is the time of the completing event.)
CREATE FUNCTION goald.time_to_goal(
    status text, enrolled_at timestamptz, last_achieved_at timestamptz, ended_at timestamptz
) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN status = 'completed_goal' THEN greatest(0::bigint,
        (extract(epoch FROM coalesce(last_achieved_at, ended_at) - enrolled_at) * 1000000)::bigint)
    END
$$;

-- Times to goal are counted in steps of 5%: step n holds times up to 1.05^n milliseconds, so
-- that a percentile computed from the counts is accurate to 2.5%.
CREATE FUNCTION goald.time_step(us bigint) RETURNS smallint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ceil(ln(greatest(us, 1000) / 1000.0::float8) / ln(1.05::float8))::smallint
$$;

-- The day (UTC) on which an enrollment is counted: the day that it began, limited to one
-- century. Enrollments of arbitrary years therefore fill at most a hundred years of days, which
-- a reader can sum (D8).
CREATE FUNCTION goald.counted_day(enrolled_at timestamptz) RETURNS date
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT greatest(date '2000-01-01', least(date '2100-01-01',
        (enrolled_at AT TIME ZONE 'UTC')::date))
$$;

-- Counts of a workflow's enrollments that began on one day (goald.counted_day). `bucket` is the
-- first slot of the shard that counted. Its lease admits one transaction at a time, so shards
-- never wait for each other's rows. The value of a day is the sum over its buckets; a single
-- bucket has no meaning, because an enrollment counted by one shard may end under another.
CREATE TABLE goald.workflow_days (
    tenant_id text COLLATE "C" NOT NULL,
    workflow_id text COLLATE "C" NOT NULL,
    day date NOT NULL,
    bucket smallint NOT NULL,
    enrolled bigint NOT NULL,
    completed_goal bigint NOT NULL,
    completed bigint NOT NULL,
    exited bigint NOT NULL,
    cancelled bigint NOT NULL,
    -- The sum of microseconds from enrollment to goal over all completed enrollments.
    time_to_goal numeric NOT NULL,
    exits_acknowledged bigint NOT NULL,
    cancelled_actions numeric NOT NULL,
    -- Distinct enrollments with an achievement of that type.
    tag_added bigint NOT NULL,
    purchase_made bigint NOT NULL,
    appointment_booked bigint NOT NULL,
    form_submitted bigint NOT NULL,
    pipeline_stage_reached bigint NOT NULL,
    PRIMARY KEY (tenant_id, workflow_id, day, bucket)
) WITH (fillfactor = 50);

-- A histogram of the times to goal, by the day that the enrollment began. Each is counted twice:
-- in its day (`days` is 1, `day` the day) and in its week (`days` is 7, `day` its Monday), so
-- that a year is read from 52 weeks.
CREATE TABLE goald.workflow_times_to_goal (
    tenant_id text COLLATE "C" NOT NULL,
    workflow_id text COLLATE "C" NOT NULL,
    days smallint NOT NULL,
    day date NOT NULL,
    bucket smallint NOT NULL,
    step smallint NOT NULL,
    enrollments bigint NOT NULL,
    PRIMARY KEY (tenant_id, workflow_id, days, day, bucket, step)
) WITH (fillfactor = 50);

-- The bucket of this transaction: the first of its slots.
CREATE FUNCTION goald.bucket() RETURNS smallint
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce(
        nullif(split_part(current_setting('goald.slots', true), '-', 1), '')::smallint, 0::smallint)
$$;

-- Existing rows get the two new columns before statement_text starts. Row security applies to the
-- owner too, except here.
ALTER TABLE goald.workflow_enrollments NO FORCE ROW LEVEL SECURITY;
ALTER TABLE goald.workflow_goal_achievements NO FORCE ROW LEVEL SECURITY;
UPDATE goald.workflow_enrollments e
SET last_achieved_at = a.last, met_types = a.types
FROM (
    SELECT tenant_id, workflow_enrollment_id, max(achieved_at) AS last,
        bit_or(goald.goal_type_bit(goal_type)) AS types
    FROM goald.workflow_goal_achievements GROUP BY 1, 2
) a
WHERE e.tenant_id = a.tenant_id AND e.id = a.workflow_enrollment_id;

-- How the state of an enrollment is counted: each state adds its `sign`, so that a change is
-- the new state minus the old state. Rows are not joined, because plans are made once, and a
-- plan for 1 row with 1 row is bad for 5,000 with 5,000. The text is written once, and used for
-- existing, inserted and updated rows.
DO $do$
DECLARE
    statement_text CONSTANT text := $sql$
        INSERT INTO goald.workflow_days AS d
            (tenant_id, workflow_id, day, bucket, enrolled, completed_goal, completed, exited,
             cancelled, time_to_goal, exits_acknowledged, cancelled_actions, tag_added,
             purchase_made, appointment_booked, form_submitted, pipeline_stage_reached)
        SELECT s.tenant_id, s.workflow_id, goald.counted_day(s.enrolled_at), goald.bucket(),
            sum(sign),
            sum(sign * (s.status = 'completed_goal')::int),
            sum(sign * (s.status = 'completed')::int),
            sum(sign * (s.status = 'exited')::int),
            sum(sign * (s.status = 'cancelled')::int),
            sum(sign * coalesce(goald.time_to_goal(
                s.status, s.enrolled_at, s.last_achieved_at, s.ended_at), 0)),
            sum(sign * (s.exit_acknowledged_at IS NOT NULL)::int),
            sum(sign * coalesce(s.cancelled_actions, 0)),
            sum(sign * (s.met_types & goald.goal_type_bit('tag_added') <> 0)::int),
            sum(sign * (s.met_types & goald.goal_type_bit('purchase_made') <> 0)::int),
            sum(sign * (s.met_types & goald.goal_type_bit('appointment_booked') <> 0)::int),
            sum(sign * (s.met_types & goald.goal_type_bit('form_submitted') <> 0)::int),
            sum(sign * (s.met_types & goald.goal_type_bit('pipeline_stage_reached') <> 0)::int)
        FROM (%1$s) s GROUP BY 1, 2, 3
        ON CONFLICT (tenant_id, workflow_id, day, bucket) DO UPDATE SET
            enrolled = d.enrolled + excluded.enrolled,
            completed_goal = d.completed_goal + excluded.completed_goal,
            completed = d.completed + excluded.completed,
            exited = d.exited + excluded.exited,
            cancelled = d.cancelled + excluded.cancelled,
            time_to_goal = d.time_to_goal + excluded.time_to_goal,
            exits_acknowledged = d.exits_acknowledged + excluded.exits_acknowledged,
            cancelled_actions = d.cancelled_actions + excluded.cancelled_actions,
            tag_added = d.tag_added + excluded.tag_added,
            purchase_made = d.purchase_made + excluded.purchase_made,
            appointment_booked = d.appointment_booked + excluded.appointment_booked,
            form_submitted = d.form_submitted + excluded.form_submitted,
            pipeline_stage_reached = d.pipeline_stage_reached + excluded.pipeline_stage_reached;

        INSERT INTO goald.workflow_times_to_goal AS t
            (tenant_id, workflow_id, days, day, bucket, step, enrollments)
        SELECT s.tenant_id, s.workflow_id, days, CASE days
                WHEN 1 THEN goald.counted_day(s.enrolled_at)
                ELSE date_trunc('week', goald.counted_day(s.enrolled_at)::timestamp)::date
            END,
            goald.bucket(),
            goald.time_step(goald.time_to_goal(
                s.status, s.enrolled_at, s.last_achieved_at, s.ended_at)),
            sum(sign)
        FROM (%1$s) s CROSS JOIN unnest('{1, 7}'::smallint[]) AS days
        WHERE s.status = 'completed_goal'
        GROUP BY 1, 2, 3, 4, 6 HAVING sum(sign) <> 0
        ON CONFLICT (tenant_id, workflow_id, days, day, bucket, step) DO UPDATE SET
            enrollments = t.enrollments + excluded.enrollments;
    $sql$;
    trigger_function CONSTANT text := $sql$
        CREATE FUNCTION goald.%1$I() RETURNS trigger
        LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $f$
        BEGIN
            %2$s
            RETURN NULL;
        END
        $f$
    $sql$;
BEGIN
    EXECUTE format(statement_text, 'SELECT 1 AS sign, * FROM goald.workflow_enrollments');
    EXECUTE format(trigger_function, 'count_inserted',
        format(statement_text, 'SELECT 1 AS sign, * FROM added'));
    EXECUTE format(trigger_function, 'count_updated', format(statement_text,
        'SELECT 1 AS sign, * FROM changed_to UNION ALL SELECT -1, * FROM changed_from'));
END
$do$;

CREATE TRIGGER count_inserted AFTER INSERT ON goald.workflow_enrollments
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION goald.count_inserted();
CREATE TRIGGER count_updated AFTER UPDATE ON goald.workflow_enrollments
    REFERENCING OLD TABLE AS changed_from NEW TABLE AS changed_to
    FOR EACH STATEMENT EXECUTE FUNCTION goald.count_updated();

ALTER TABLE goald.workflow_enrollments FORCE ROW LEVEL SECURITY;
ALTER TABLE goald.workflow_goal_achievements FORCE ROW LEVEL SECURITY;
ALTER TABLE goald.workflow_days ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE goald.workflow_times_to_goal ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
-- A shard does not need the counts of others, and one read of the setting is faster than two.
CREATE POLICY shard_bucket ON goald.workflow_days TO goald_shard
    USING (bucket = (SELECT goald.first_slot()));
CREATE POLICY shard_bucket ON goald.workflow_times_to_goal TO goald_shard
    USING (bucket = (SELECT goald.first_slot()));
CREATE POLICY api_tenant ON goald.workflow_days FOR SELECT TO goald_api
    USING (tenant_id = (SELECT goald.tenant()));
CREATE POLICY api_tenant ON goald.workflow_times_to_goal FOR SELECT TO goald_api
    USING (tenant_id = (SELECT goald.tenant()));

GRANT SELECT, INSERT, UPDATE ON goald.workflow_days, goald.workflow_times_to_goal TO goald_shard;
GRANT SELECT ON goald.workflow_days, goald.workflow_times_to_goal TO goald_api;
GRANT UPDATE (last_achieved_at, met_types) ON goald.workflow_enrollments TO goald_shard;
REVOKE EXECUTE ON FUNCTION goald.goal_type_bit(text), goald.time_step(bigint), goald.bucket(),
    goald.counted_day(timestamptz), goald.time_to_goal(text, timestamptz, timestamptz, timestamptz),
    goald.count_inserted(), goald.count_updated() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION goald.goal_type_bit(text), goald.time_step(bigint), goald.bucket(),
    goald.counted_day(timestamptz), goald.time_to_goal(text, timestamptz, timestamptz, timestamptz)
    TO goald_shard;
