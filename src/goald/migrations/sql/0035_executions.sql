-- Executions of workflows, and their log.

-- An execution is an enrollment and has its id, its contact and its slot. Its table is another one,
-- because a step must not fire the triggers that count enrollments.
CREATE TABLE goald.workflow_executions (
    tenant_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    contact_id text COLLATE "C" NOT NULL,
    workflow_id text COLLATE "C" NOT NULL,
    slot smallint NOT NULL CHECK (slot BETWEEN 0 AND 255),
    -- The version of the definition that it runs.
    version integer NOT NULL CHECK (version > 0),
    status text COLLATE "C" NOT NULL CHECK (status IN (
        'QUEUED', 'ACTIVE', 'PAUSED', 'FAILED', 'COMPLETED', 'CANCELLED')),
    -- Changes at an end, a failure and a manual retry only, so that the update of a step changes no
    -- index and stays on its page.
    phase text COLLATE "C" NOT NULL GENERATED ALWAYS AS (CASE status
        WHEN 'COMPLETED' THEN 'completed' WHEN 'CANCELLED' THEN 'cancelled'
        WHEN 'FAILED' THEN 'failed' ELSE 'live' END) STORED,
    -- The state of the state machine; of an ended execution its last one.
    state text COLLATE "C" NOT NULL,
    waiting_for text COLLATE "C",
    completion_reason text COLLATE "C",
    -- The step at which it is. Empty at the end of the plan.
    step_id text COLLATE "C" NOT NULL,
    step_index smallint NOT NULL,
    total_steps smallint NOT NULL,
    visit integer NOT NULL,
    attempt integer NOT NULL,
    retry_count smallint NOT NULL,
    -- Of the event that started it (X14).
    hops smallint NOT NULL,
    -- The type of its step's action, and the connection.
    action text COLLATE "C",
    connection text COLLATE "C",
    -- The time zone of its wait.
    zone text COLLATE "C" NOT NULL,
    -- When its wait began, or its step became due.
    since timestamptz NOT NULL,
    -- The sequence, within `since`, of the stream entry with which a wait for an event began.
    since_seq integer NOT NULL,
    due_at timestamptz,
    -- The ids of the steps that are done, separated by U+001F, as the state machine loads them.
    done_steps text COLLATE "C" NOT NULL DEFAULT '',
    -- It moves to the current version when its job is finished.
    migrates boolean NOT NULL,
    -- An event has ended one of its waits: `used_events` has the keys of all that have.
    used_event boolean NOT NULL,
    used_events uuid[] NOT NULL DEFAULT '{}',
    -- The gate of its outstanding job. NULL if there is none.
    gate text COLLATE "C",
    -- Given by the trigger for this execution.
    attributes jsonb CHECK (jsonb_typeof(attributes) = 'object'),
    created_at timestamptz NOT NULL,
    -- When its first commit began. Its enrollment has the same.
    recorded_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    CHECK ((completion_reason IS NULL) = (ended_at IS NULL)),
    CHECK ((status IN ('COMPLETED', 'CANCELLED')) = (ended_at IS NOT NULL))
) WITH (fillfactor = 80);
-- The open ones of a range of slots, for the load.
CREATE INDEX workflow_executions_open ON goald.workflow_executions (slot)
    WHERE phase IN ('live', 'failed');
-- Lists of a workflow's executions, newest first, by phase. Cast so that only these statements can
-- use it: see 0008.
CREATE INDEX workflow_executions_pages ON goald.workflow_executions (
    tenant_id, workflow_id, phase COLLATE "POSIX", created_at, id COLLATE "POSIX");
-- Created last, to be the newest: see the end of 0003. There is no index by contact: the index of
-- enrollments has the ids of a contact's executions.
ALTER TABLE goald.workflow_executions ADD PRIMARY KEY (tenant_id, id);
-- No query has a condition on these, and samples of them would be personal data (see 0018).
ALTER TABLE goald.workflow_executions
    ALTER contact_id SET STATISTICS 0, ALTER used_events SET STATISTICS 0,
    ALTER attributes SET STATISTICS 0;

-- The last start and end of a contact in a workflow, for the rules of re-entry (X9).
CREATE TABLE goald.workflow_entries (
    tenant_id text COLLATE "C" NOT NULL,
    contact_id text COLLATE "C" NOT NULL,
    workflow_id text COLLATE "C" NOT NULL,
    slot smallint NOT NULL CHECK (slot BETWEEN 0 AND 255),
    last_started_at timestamptz NOT NULL,
    last_ended_at timestamptz,
    PRIMARY KEY (tenant_id, contact_id, workflow_id)
) WITH (fillfactor = 90, vacuum_index_cleanup = on);
ALTER TABLE goald.workflow_entries ALTER contact_id SET STATISTICS 0;

-- The log of executions, partitioned by the month of the commit, so that retention drops tables.
CREATE SEQUENCE goald.execution_log_number;
CREATE TABLE goald.execution_logs (
    tenant_id text COLLATE "C" NOT NULL,
    -- NULL if a trigger was blocked. Only then does the row have the workflow and the contact: those
    -- of an execution are in its own row, so neither a merge nor a deletion changes its log.
    execution_id text COLLATE "C",
    workflow_id text COLLATE "C",
    contact_id text COLLATE "C",
    slot smallint NOT NULL CHECK (slot BETWEEN 0 AND 255),
    -- Orders the rows of an execution.
    number bigint NOT NULL DEFAULT nextval('goald.execution_log_number'),
    event_type text COLLATE "C" NOT NULL,
    at timestamptz NOT NULL,
    step_index smallint,
    step_id text COLLATE "C",
    attempt integer NOT NULL,
    duration_ms bigint,
    -- Masked; contains no data of contacts (X15).
    message text,
    user_id text COLLATE "C",
    recorded_at timestamptz NOT NULL DEFAULT now()
) PARTITION BY RANGE (recorded_at);
CREATE INDEX execution_logs_execution ON goald.execution_logs (tenant_id, execution_id, number)
    WHERE execution_id IS NOT NULL;
-- For the erasure of a contact.
CREATE INDEX execution_logs_contact ON goald.execution_logs (tenant_id, contact_id)
    WHERE contact_id IS NOT NULL;

-- The answers to requests (a trigger, a cancellation, a retry), for the API that waits for them.
-- `request` is the id of the request's event.
CREATE TABLE goald.execution_answers (
    tenant_id text COLLATE "C" NOT NULL,
    request text COLLATE "C" NOT NULL,
    slot smallint NOT NULL CHECK (slot BETWEEN 0 AND 255),
    answer text COLLATE "C" NOT NULL,
    execution_id text COLLATE "C",
    answered_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, request)
);
-- For retention. Rows are added in this order.
CREATE INDEX execution_answers_answered_at ON goald.execution_answers (answered_at);
ALTER TABLE goald.execution_answers ALTER request SET STATISTICS 0;

-- As in 0018, with the log of executions.
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
        ELSIF parent = 'execution_logs' THEN
            EXECUTE format('ALTER TABLE goald.%I ALTER COLUMN contact_id SET STATISTICS 0', name);
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
ALTER TABLE ONLY goald.execution_logs ALTER contact_id SET STATISTICS 0;
CREATE OR REPLACE FUNCTION goald.make_achievement_months(ahead integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF ahead IS NULL OR ahead NOT BETWEEN 0 AND 24 THEN
        RAISE EXCEPTION 'ahead is 0 to 24 months' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('goald.make_achievement_months'));
    RETURN goald.make_months_of('workflow_goal_achievements', ahead)
        + goald.make_months_of('audit_log', ahead)
        + goald.make_months_of('execution_logs', ahead);
END
$$;
SELECT goald.make_achievement_months(3);

-- As drop_month, for the log of executions, which has another retention.
CREATE FUNCTION goald.drop_log_month(keep interval) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
    SET lock_timeout = '100ms'
AS $$
DECLARE
    oldest text;
    month_end timestamptz;
BEGIN
    IF keep IS NULL OR keep < interval '1 day' THEN
        RAISE EXCEPTION 'keep must be at least a day' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF NOT pg_try_advisory_xact_lock(hashtext('goald.drop_month')) THEN
        RETURN NULL;
    END IF;
    SELECT c.relname, to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month'
    INTO oldest, month_end
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'goald.execution_logs'::regclass AND c.relname ~ '_\d{4}_\d{2}$'
    ORDER BY right(c.relname, 7) LIMIT 1;
    IF oldest IS NULL OR month_end >= now() - keep THEN
        RETURN NULL;
    END IF;
    EXECUTE format('DROP TABLE goald.%I', oldest);
    RETURN oldest;
END
$$;
REVOKE EXECUTE ON FUNCTION goald.drop_log_month(interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION goald.drop_log_month(interval) TO goald_shard;

ALTER TABLE goald.workflow_executions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE goald.workflow_entries ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE goald.execution_logs ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE goald.execution_answers ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY shard_slots ON goald.workflow_executions TO goald_shard
    USING (slot BETWEEN (SELECT goald.first_slot()) AND (SELECT goald.last_slot()));
CREATE POLICY shard_slots ON goald.workflow_entries TO goald_shard
    USING (slot BETWEEN (SELECT goald.first_slot()) AND (SELECT goald.last_slot()));
CREATE POLICY shard_slots ON goald.execution_logs TO goald_shard
    USING (slot BETWEEN (SELECT goald.first_slot()) AND (SELECT goald.last_slot()));
CREATE POLICY shard_slots ON goald.execution_answers TO goald_shard
    USING (slot BETWEEN (SELECT goald.first_slot()) AND (SELECT goald.last_slot()));
CREATE POLICY api_tenant ON goald.workflow_executions FOR SELECT TO goald_api
    USING (tenant_id = (SELECT goald.tenant()));
CREATE POLICY api_tenant ON goald.execution_logs FOR SELECT TO goald_api
    USING (tenant_id = (SELECT goald.tenant()));
CREATE POLICY api_tenant ON goald.execution_answers FOR SELECT TO goald_api
    USING (tenant_id = (SELECT goald.tenant()));
GRANT SELECT, INSERT ON goald.workflow_executions, goald.execution_logs TO goald_shard;
GRANT UPDATE (contact_id, slot, version, status, state, waiting_for, completion_reason, step_id,
    step_index, total_steps, visit, attempt, retry_count, action, connection, zone, since, since_seq,
    due_at, done_steps, migrates, used_event, used_events, gate, attributes, updated_at, ended_at)
    ON goald.workflow_executions TO goald_shard;
GRANT UPDATE (contact_id) ON goald.execution_logs TO goald_shard;
GRANT USAGE ON SEQUENCE goald.execution_log_number TO goald_shard;
GRANT SELECT, INSERT, UPDATE, DELETE ON goald.workflow_entries TO goald_shard;
GRANT SELECT, INSERT, DELETE ON goald.execution_answers TO goald_shard;
GRANT SELECT ON goald.workflow_executions, goald.execution_logs, goald.execution_answers
    TO goald_api;

-- A shard reads the plans of published versions.
CREATE POLICY shard_reads ON goald.workflow_definitions FOR SELECT TO goald_shard
    USING ((SELECT goald.first_slot()) >= 0);
GRANT SELECT (tenant_id, workflow_id, version, plan, published_at, deleted_at)
    ON goald.workflow_definitions TO goald_shard;
