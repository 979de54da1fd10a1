-- What statistics are read from: counts, kept in the transaction that changes an enrollment,
-- whoever changes it. They outlive the months of achievements that are dropped.

-- The greatest achieved_at of the enrollment (E6), and which types of goal it has met: one
-- bit each, in the order of goald.goal_type_bit.
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

-- Times to goal are counted in steps of 5%: step n holds those of up to 1.05^n milliseconds,
-- so that a percentile read from the counts is right to within 2.5%.
CREATE FUNCTION goald.time_step(time_to_goal interval) RETURNS smallint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT greatest(0, ceil(
        ln(greatest(1, extract(epoch FROM time_to_goal)::float8 * 1000)) / ln(1.05::float8)
    ))::smallint
$$;

-- The enrollments of a workflow that began on one day (UTC), counted. `bucket` is the first
-- slot of the shard that counted: shards never wait for one another's rows.
CREATE TABLE goald.workflow_days (
    tenant_id text COLLATE "C" NOT NULL,
    workflow_id text COLLATE "C" NOT NULL,
    day date NOT NULL,
    bucket smallint NOT NULL,
    enrolled bigint NOT NULL DEFAULT 0,
    completed_goal bigint NOT NULL DEFAULT 0,
    completed bigint NOT NULL DEFAULT 0,
    exited bigint NOT NULL DEFAULT 0,
    cancelled bigint NOT NULL DEFAULT 0,
    -- Microseconds from enrollment to goal, over all that completed.
    time_to_goal numeric NOT NULL DEFAULT 0,
    exits_acknowledged bigint NOT NULL DEFAULT 0,
    cancelled_actions numeric NOT NULL DEFAULT 0,
    -- Distinct enrollments with an achievement of that type.
    tag_added bigint NOT NULL DEFAULT 0,
    purchase_made bigint NOT NULL DEFAULT 0,
    appointment_booked bigint NOT NULL DEFAULT 0,
    form_submitted bigint NOT NULL DEFAULT 0,
    pipeline_stage_reached bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, workflow_id, day, bucket)
) WITH (fillfactor = 50);

-- How many of those that began on a day took how long to their goal.
CREATE TABLE goald.workflow_times_to_goal (
    tenant_id text COLLATE "C" NOT NULL,
    workflow_id text COLLATE "C" NOT NULL,
    day date NOT NULL,
    bucket smallint NOT NULL,
    step smallint NOT NULL,
    enrollments bigint NOT NULL,
    PRIMARY KEY (tenant_id, workflow_id, day, bucket, step)
) WITH (fillfactor = 50);

ALTER TABLE goald.workflow_days ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE goald.workflow_times_to_goal ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY engine_slots ON goald.workflow_days TO goald_engine
    USING (bucket BETWEEN (SELECT goald.first_slot()) AND (SELECT goald.last_slot()));
CREATE POLICY engine_slots ON goald.workflow_times_to_goal TO goald_engine
    USING (bucket BETWEEN (SELECT goald.first_slot()) AND (SELECT goald.last_slot()));
CREATE POLICY api_tenant ON goald.workflow_days FOR SELECT TO goald_api
    USING (tenant_id = (SELECT goald.tenant()));
CREATE POLICY api_tenant ON goald.workflow_times_to_goal FOR SELECT TO goald_api
    USING (tenant_id = (SELECT goald.tenant()));
GRANT SELECT, INSERT, UPDATE ON goald.workflow_days, goald.workflow_times_to_goal TO goald_engine;
GRANT SELECT ON goald.workflow_days, goald.workflow_times_to_goal TO goald_api;

-- The bucket that this transaction counts in: the first of the slots that it sees.
CREATE FUNCTION goald.bucket() RETURNS smallint
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce(
        nullif(split_part(current_setting('goald.slots', true), '-', 1), '')::smallint, 0::smallint)
$$;

-- Adds the difference between two states of enrollments to the counts. Sorted, so that two
-- transactions that count in one bucket wait for each other in one direction only.
CREATE FUNCTION goald.count_inserted() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_hashjoin = on
AS $$
BEGIN
    INSERT INTO goald.workflow_days AS d
        (tenant_id, workflow_id, day, bucket, enrolled, completed_goal, completed, exited,
         cancelled, time_to_goal, exits_acknowledged, cancelled_actions,
         tag_added, purchase_made, appointment_booked, form_submitted, pipeline_stage_reached)
    SELECT n.tenant_id, n.workflow_id, (n.enrolled_at AT TIME ZONE 'UTC')::date, goald.bucket(),
        count(*),
        count(*) FILTER (WHERE n.status = 'completed_goal'),
        count(*) FILTER (WHERE n.status = 'completed'),
        count(*) FILTER (WHERE n.status = 'exited'),
        count(*) FILTER (WHERE n.status = 'cancelled'),
        coalesce(sum(goald.us(coalesce(n.last_achieved_at, n.ended_at)) - goald.us(n.enrolled_at))
            FILTER (WHERE n.status = 'completed_goal'), 0),
        count(n.exit_acknowledged_at),
        coalesce(sum(n.cancelled_actions), 0),
        count(*) FILTER (WHERE n.met_types & 1 <> 0),
        count(*) FILTER (WHERE n.met_types & 2 <> 0),
        count(*) FILTER (WHERE n.met_types & 4 <> 0),
        count(*) FILTER (WHERE n.met_types & 8 <> 0),
        count(*) FILTER (WHERE n.met_types & 16 <> 0)
    FROM added n GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
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
        (tenant_id, workflow_id, day, bucket, step, enrollments)
    SELECT n.tenant_id, n.workflow_id, (n.enrolled_at AT TIME ZONE 'UTC')::date, goald.bucket(),
        goald.time_step(coalesce(n.last_achieved_at, n.ended_at) - n.enrolled_at), count(*)
    FROM added n WHERE n.status = 'completed_goal' GROUP BY 1, 2, 3, 5 ORDER BY 1, 2, 3, 5
    ON CONFLICT (tenant_id, workflow_id, day, bucket, step) DO UPDATE SET
        enrollments = t.enrollments + excluded.enrollments;
    RETURN NULL;
END
$$;

CREATE FUNCTION goald.count_updated() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_hashjoin = on
AS $$
BEGIN
    INSERT INTO goald.workflow_days AS d
        (tenant_id, workflow_id, day, bucket, completed_goal, completed, exited, cancelled,
         time_to_goal, exits_acknowledged, cancelled_actions,
         tag_added, purchase_made, appointment_booked, form_submitted, pipeline_stage_reached)
    SELECT n.tenant_id, n.workflow_id, (n.enrolled_at AT TIME ZONE 'UTC')::date, goald.bucket(),
        count(*) FILTER (WHERE n.status = 'completed_goal' AND o.status = 'active'),
        count(*) FILTER (WHERE n.status = 'completed' AND o.status = 'active'),
        count(*) FILTER (WHERE n.status = 'exited' AND o.status = 'active'),
        count(*) FILTER (WHERE n.status = 'cancelled' AND o.status = 'active'),
        coalesce(sum(goald.us(coalesce(n.last_achieved_at, n.ended_at)) - goald.us(n.enrolled_at))
            FILTER (WHERE n.status = 'completed_goal' AND o.status = 'active'), 0),
        count(n.exit_acknowledged_at) - count(o.exit_acknowledged_at),
        coalesce(sum(n.cancelled_actions), 0) - coalesce(sum(o.cancelled_actions), 0),
        count(*) FILTER (WHERE n.met_types & ~o.met_types & 1 <> 0),
        count(*) FILTER (WHERE n.met_types & ~o.met_types & 2 <> 0),
        count(*) FILTER (WHERE n.met_types & ~o.met_types & 4 <> 0),
        count(*) FILTER (WHERE n.met_types & ~o.met_types & 8 <> 0),
        count(*) FILTER (WHERE n.met_types & ~o.met_types & 16 <> 0)
    FROM changed_to n JOIN changed_from o ON o.tenant_id = n.tenant_id AND o.id = n.id
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (tenant_id, workflow_id, day, bucket) DO UPDATE SET
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
        (tenant_id, workflow_id, day, bucket, step, enrollments)
    SELECT n.tenant_id, n.workflow_id, (n.enrolled_at AT TIME ZONE 'UTC')::date, goald.bucket(),
        goald.time_step(coalesce(n.last_achieved_at, n.ended_at) - n.enrolled_at), count(*)
    FROM changed_to n JOIN changed_from o ON o.tenant_id = n.tenant_id AND o.id = n.id
    WHERE n.status = 'completed_goal' AND o.status = 'active'
    GROUP BY 1, 2, 3, 5 ORDER BY 1, 2, 3, 5
    ON CONFLICT (tenant_id, workflow_id, day, bucket, step) DO UPDATE SET
        enrollments = t.enrollments + excluded.enrollments;
    RETURN NULL;
END
$$;

CREATE TRIGGER count_inserted AFTER INSERT ON goald.workflow_enrollments
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION goald.count_inserted();
CREATE TRIGGER count_updated AFTER UPDATE ON goald.workflow_enrollments
    REFERENCING OLD TABLE AS changed_from NEW TABLE AS changed_to
    FOR EACH STATEMENT EXECUTE FUNCTION goald.count_updated();

REVOKE EXECUTE ON FUNCTION goald.goal_type_bit(text), goald.time_step(interval), goald.bucket(),
    goald.count_inserted(), goald.count_updated() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION goald.goal_type_bit(text), goald.time_step(interval), goald.bucket()
    TO goald_engine;
GRANT UPDATE (last_achieved_at, met_types) ON goald.workflow_enrollments TO goald_engine;

-- What is there already is counted now, by the trigger of a copy. Row security binds even the
-- owner, but for this.
ALTER TABLE goald.workflow_enrollments NO FORCE ROW LEVEL SECURITY;
ALTER TABLE goald.workflow_goal_achievements NO FORCE ROW LEVEL SECURITY;
ALTER TABLE goald.workflow_days NO FORCE ROW LEVEL SECURITY;
ALTER TABLE goald.workflow_times_to_goal NO FORCE ROW LEVEL SECURITY;
ALTER TABLE goald.workflow_enrollments DISABLE TRIGGER count_updated;
UPDATE goald.workflow_enrollments e
SET last_achieved_at = a.last, met_types = a.types
FROM (
    SELECT tenant_id, workflow_enrollment_id, max(achieved_at) AS last,
        bit_or(goald.goal_type_bit(goal_type)) AS types
    FROM goald.workflow_goal_achievements GROUP BY 1, 2
) a
WHERE e.tenant_id = a.tenant_id AND e.id = a.workflow_enrollment_id;
CREATE TEMPORARY TABLE counted (LIKE goald.workflow_enrollments) ON COMMIT DROP;
CREATE TRIGGER count_inserted AFTER INSERT ON counted REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION goald.count_inserted();
INSERT INTO counted SELECT * FROM goald.workflow_enrollments;
ALTER TABLE goald.workflow_enrollments ENABLE TRIGGER count_updated;
ALTER TABLE goald.workflow_enrollments FORCE ROW LEVEL SECURITY;
ALTER TABLE goald.workflow_goal_achievements FORCE ROW LEVEL SECURITY;
ALTER TABLE goald.workflow_days FORCE ROW LEVEL SECURITY;
ALTER TABLE goald.workflow_times_to_goal FORCE ROW LEVEL SECURITY;
