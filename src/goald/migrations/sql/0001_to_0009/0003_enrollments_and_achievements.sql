-- Enrollments, and the goals that they met.

-- No foreign key to workflows: an enrollment in an unknown workflow is recorded too (E5).
-- `slot` is computed by the matcher from tenant and contact.
CREATE TABLE goald.workflow_enrollments (
    tenant_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    contact_id text COLLATE "C" NOT NULL,
    workflow_id text COLLATE "C" NOT NULL,
    slot smallint NOT NULL CHECK (slot BETWEEN 0 AND 255),
    status text COLLATE "C" NOT NULL CHECK (status IN (
        'active', 'completed_goal', 'completed', 'exited', 'cancelled')),
    enrolled_at timestamptz NOT NULL,
    ended_at timestamptz,
    -- The ids of the goals that are met. They keep an achievement unique, because a partitioned
    -- table cannot.
    met_goals uuid[] NOT NULL DEFAULT '{}',
    pending_actions bigint,
    cancelled_actions bigint,
    exit_acknowledged_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((status = 'active') = (ended_at IS NULL))
-- Free space for HOT updates: met goals and acknowledgements change no indexed column and stay
-- on their page. The end of an enrollment changes the index of active ones, once.
) WITH (fillfactor = 85);
CREATE INDEX workflow_enrollments_active ON goald.workflow_enrollments (slot)
    WHERE status = 'active';
CREATE INDEX workflow_enrollments_contact ON goald.workflow_enrollments (tenant_id, contact_id);
CREATE INDEX workflow_enrollments_workflow
    ON goald.workflow_enrollments (tenant_id, workflow_id, enrolled_at);
-- This index is created last. Among indexes of equal cost, as on an empty table, the planner
-- prefers the newest, and the statements of a commit keep their first plans.
ALTER TABLE goald.workflow_enrollments ADD PRIMARY KEY (tenant_id, id);

-- Partitioned by the month of the commit: retention drops tables, and a replay of old events is
-- not dropped immediately. No foreign keys: each row is written in the transaction that changes
-- its enrollment's row, goals are never removed, and key locks of all shards on the row of one
-- goal would make them wait for each other.
CREATE TABLE goald.workflow_goal_achievements (
    tenant_id text COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    workflow_id text COLLATE "C" NOT NULL,
    workflow_enrollment_id text COLLATE "C" NOT NULL,
    contact_id text COLLATE "C" NOT NULL,
    goal_config_id uuid NOT NULL,
    goal_type text NOT NULL,
    slot smallint NOT NULL,
    achieved_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    trigger_event jsonb NOT NULL,
    metadata jsonb NOT NULL,
    PRIMARY KEY (tenant_id, workflow_enrollment_id, goal_config_id, recorded_at)
) PARTITION BY RANGE (recorded_at);
CREATE INDEX workflow_goal_achievements_contact
    ON goald.workflow_goal_achievements (tenant_id, contact_id);
CREATE INDEX workflow_goal_achievements_workflow
    ON goald.workflow_goal_achievements (tenant_id, workflow_id, achieved_at);

-- Creates the partitions of the last month, this month and `ahead` more (in UTC). Returns the
-- number created. Attaching does not block commits in flight. There is no default partition:
-- rows in it would prevent the creation of their month.
CREATE FUNCTION goald.make_achievement_months(ahead integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
    this_month timestamptz := date_trunc('month', now());
    month timestamptz;
    name text;
    created integer := 0;
BEGIN
    IF ahead IS NULL OR ahead NOT BETWEEN 0 AND 24 THEN
        RAISE EXCEPTION 'ahead is 0 to 24 months' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('goald.make_achievement_months'));
    FOR step IN -1..ahead LOOP
        month := this_month + make_interval(months => step);
        name := 'workflow_goal_achievements_' || to_char(month, 'YYYY_MM');
        CONTINUE WHEN to_regclass('goald.' || name) IS NOT NULL;
        EXECUTE format(
            'CREATE TABLE goald.%I (LIKE goald.workflow_goal_achievements INCLUDING ALL)', name);
        EXECUTE format(
            'ALTER TABLE goald.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'ALTER TABLE goald.workflow_goal_achievements ATTACH PARTITION goald.%I '
            'FOR VALUES FROM (%L) TO (%L)', name, month, month + interval '1 month');
        created := created + 1;
    END LOOP;
    RETURN created;
END
$$;
SELECT goald.make_achievement_months(3);

ALTER TABLE goald.workflow_enrollments ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE goald.workflow_goal_achievements ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

CREATE POLICY shard_slots ON goald.workflow_enrollments TO goald_shard
    USING (slot BETWEEN (SELECT goald.first_slot()) AND (SELECT goald.last_slot()));
CREATE POLICY shard_slots ON goald.workflow_goal_achievements TO goald_shard
    USING (slot BETWEEN (SELECT goald.first_slot()) AND (SELECT goald.last_slot()));
CREATE POLICY api_tenant ON goald.workflow_enrollments FOR SELECT TO goald_api
    USING (tenant_id = (SELECT goald.tenant()));
CREATE POLICY api_tenant ON goald.workflow_goal_achievements FOR SELECT TO goald_api
    USING (tenant_id = (SELECT goald.tenant()));

GRANT SELECT, INSERT ON goald.workflow_enrollments, goald.workflow_goal_achievements
    TO goald_shard;
GRANT UPDATE (status, ended_at, met_goals, pending_actions, cancelled_actions,
    exit_acknowledged_at, updated_at) ON goald.workflow_enrollments TO goald_shard;
GRANT UPDATE (trigger_event, metadata) ON goald.workflow_goal_achievements TO goald_shard;
GRANT SELECT ON goald.workflow_enrollments, goald.workflow_goal_achievements TO goald_api;
REVOKE EXECUTE ON FUNCTION goald.make_achievement_months(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION goald.make_achievement_months(integer) TO goald_shard;
