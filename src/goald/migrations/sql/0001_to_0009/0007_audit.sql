-- The audit log: configuration changes and achievements, protected against unnoticed changes.

-- Every row has a hash over itself and the hash before it, in one chain for each writer:
-- `tenant/<id>` for the configuration, `slots/<first>` for the achievements of a shard. The
-- triggers below write the rows in the transaction of the change, whichever role began it.
CREATE TABLE goald.audit_log (
    writer text COLLATE "C" NOT NULL,
    -- Ascends within the chain without a gap. Tenants do not see the numbers of a shard's chain,
    -- because it covers many tenants.
    number bigint NOT NULL,
    tenant_id text COLLATE "C" NOT NULL,
    -- Read while the chain is locked, not at the start of the transaction: it ascends with
    -- `number`, unless the clock goes back.
    recorded_at timestamptz NOT NULL,
    actor text NOT NULL,
    -- The action, such as goal.created or goal.achieved.
    action text COLLATE "C" NOT NULL,
    -- The kind of the subject: workflow, goal, enrollment, webhook, or a catalog kind.
    subject text COLLATE "C" NOT NULL,
    subject_id text COLLATE "C" NOT NULL,
    workflow_id text COLLATE "C",
    before jsonb,
    after jsonb,
    hash bytea NOT NULL,
    PRIMARY KEY (writer, number, recorded_at)
) PARTITION BY RANGE (recorded_at);
-- For a tenant's pages, newest first, and for pages of configuration changes, which are rare
-- among many achievements.
CREATE INDEX audit_log_tenant ON goald.audit_log (tenant_id, recorded_at, hash);
CREATE INDEX audit_log_configured ON goald.audit_log (tenant_id, recorded_at, hash)
    WHERE action <> 'goal.achieved';

-- The end of each chain, so that a removed last row is noticed.
CREATE TABLE goald.audit_heads (
    writer text COLLATE "C" PRIMARY KEY,
    tenant_id text COLLATE "C",
    slot smallint,
    number bigint NOT NULL,
    hash bytea NOT NULL
) WITH (fillfactor = 50);

-- The start of each chain after its oldest months were dropped: the last dropped row. It is
-- separate from the ends, so that dropping does not wait for a writer, and so that no writer
-- can change it.
CREATE TABLE goald.audit_starts (
    writer text COLLATE "C" PRIMARY KEY,
    number bigint NOT NULL,
    hash bytea NOT NULL
);

-- The hashed text of a row, as one JSON array of all its columns. (The verification writes the
-- same text itself: goald.domain.audit.)
CREATE FUNCTION goald.audit_text(
    writer text, number bigint, tenant_id text, recorded_at timestamptz, actor text, action text,
    subject text, subject_id text, workflow_id text, before jsonb, after jsonb
) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT jsonb_build_array(writer, number, tenant_id, goald.us(recorded_at), actor, action,
        subject, subject_id, workflow_id, before, after)::text
$$;

-- In PL/pgSQL: an aggregate calls it for each row, and a function in SQL costs more there.
CREATE FUNCTION goald.audit_link(previous bytea, head bytea, entry text) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    RETURN sha256(coalesce(previous, head) || convert_to(entry, 'UTF8'));
END
$$;

-- The hash of the last of several rows, the first of which follows `head`.
CREATE AGGREGATE goald.audit_chain(head bytea, entry text) (
    sfunc = goald.audit_link, stype = bytea
);

-- Locks the end of a chain, which is created if it is missing. The following rows belong to this
-- transaction until it ends, so a chain never forks. A transaction takes this lock last: the
-- triggers of the configuration are deferred, and the commit of a shard writes achievements
-- after enrollments and counts. Only the lock of versions follows, and its holder waits for no
-- other lock. Therefore a holder of a chain never waits for another transaction that wants it.
CREATE FUNCTION goald.audit_head(
    of_writer text, of_tenant text, of_slot smallint, OUT number bigint, OUT hash bytea
)
LANGUAGE plpgsql
AS $$
BEGIN
    SELECT h.number, h.hash INTO number, hash FROM goald.audit_heads h
    WHERE h.writer = of_writer FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO goald.audit_heads AS h (writer, tenant_id, slot, number, hash)
        VALUES (of_writer, of_tenant, of_slot, 0, '')
        ON CONFLICT (writer) DO UPDATE SET number = h.number
        RETURNING h.number, h.hash INTO number, hash;
    END IF;
END
$$;

-- Appends one row to a tenant's chain.
CREATE FUNCTION goald.audit_append(
    of_tenant text, what text, of_subject text, of_id text, of_workflow text, was jsonb,
    becomes jsonb
) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    of_writer text := 'tenant/' || of_tenant;
    who text := coalesce(nullif(current_setting('goald.actor', true), ''), session_user::text);
    head record := goald.audit_head(of_writer, of_tenant, NULL);
    next bigint := head.number + 1;
    at timestamptz := clock_timestamp();
    link bytea := goald.audit_link(NULL, head.hash, goald.audit_text(of_writer, next, of_tenant,
        at, who, what, of_subject, of_id, of_workflow, was, becomes));
BEGIN
    INSERT INTO goald.audit_log (writer, number, tenant_id, recorded_at, actor, action, subject,
        subject_id, workflow_id, before, after, hash)
    VALUES (of_writer, next, of_tenant, at, who, what, of_subject, of_id, of_workflow, was,
        becomes, link);
    UPDATE goald.audit_heads SET number = next, hash = link WHERE writer = of_writer;
END
$$;

-- A configuration change. The trigger arguments are the subject, its id column, and columns that
-- are not recorded and do not count as a change by themselves. A secret counts as a change and
-- is not recorded. A workflow created as active is recorded as created, then activated, so that
-- the log is the same as for two steps.
CREATE FUNCTION goald.audit_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
    subject text := TG_ARGV[0];
    was jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END;
    becomes jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END;
    of_row jsonb := coalesce(becomes, was);
    tenant text := of_row ->> 'tenant_id';
    of_kind text := coalesce(of_row ->> 'kind', subject);
    of_id text := of_row ->> TG_ARGV[1];
    of_workflow text := of_row ->> CASE subject WHEN 'workflow' THEN 'id' ELSE 'workflow_id' END;
    verb text;
BEGIN
    was := was - 'tenant_id' - TG_ARGV[2:];
    becomes := becomes - 'tenant_id' - TG_ARGV[2:];
    IF was = becomes THEN
        RETURN NULL;
    END IF;
    was := was - 'secret';
    becomes := becomes - 'secret';
    IF subject = 'workflow' AND was IS NULL AND (becomes -> 'is_active')::boolean THEN
        was := jsonb_set(becomes, '{is_active}', 'false');
        PERFORM goald.audit_append(
            tenant, 'workflow.created', of_kind, of_id, of_workflow, NULL, was);
    END IF;
    verb := CASE
        WHEN becomes IS NULL OR becomes ->> 'deleted_at' IS NOT NULL THEN 'deleted'
        WHEN was IS NULL THEN 'created'
        WHEN subject = 'workflow' AND was -> 'is_active' <> becomes -> 'is_active' THEN
            CASE WHEN (becomes -> 'is_active')::boolean THEN 'activated' ELSE 'deactivated' END
        ELSE 'updated'
    END;
    PERFORM goald.audit_append(
        tenant, subject || '.' || verb, of_kind, of_id, of_workflow, was,
        CASE verb WHEN 'deleted' THEN NULL ELSE becomes END);
    RETURN NULL;
END
$$;

-- Deferred to the end of the transaction: while it waits for a row lock, it does not hold the
-- tenant's chain.
CREATE CONSTRAINT TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON goald.workflows
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION goald.audit_change(
        'workflow', 'id', 'config_version', 'version', 'updated_at', 'updated_by');
CREATE CONSTRAINT TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON goald.workflow_goals
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION goald.audit_change(
        'goal', 'id', 'version', 'updated_at', 'updated_by');
CREATE CONSTRAINT TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON goald.catalog_entities
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION goald.audit_change(
        'entity', 'entity_id', 'updated_at');
CREATE CONSTRAINT TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON goald.webhook_secrets
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION goald.audit_change(
        'webhook', 'provider');

-- Achievements: one statement for all rows of a commit, in the chain of its shard. (It sets no
-- search_path, which would cost a commit more than all its expressions; it runs with the rights
-- of the inserting role.)
CREATE FUNCTION goald.audit_achievements() RETURNS trigger
LANGUAGE plpgsql
AS $$
DECLARE
    of_writer text := 'slots/' || goald.bucket();
    head record;
    at timestamptz;
BEGIN
    IF NOT EXISTS (SELECT FROM added) THEN
        RETURN NULL;
    END IF;
    head := goald.audit_head(of_writer, NULL, goald.bucket());
    at := clock_timestamp();
    WITH entries AS (
        SELECT head.number + row_number() OVER () AS number,
            a.tenant_id, a.workflow_enrollment_id AS id, a.workflow_id,
            jsonb_build_object('achievement_id', a.id, 'contact_id', a.contact_id,
                'goal_id', a.goal_config_id, 'goal_type', a.goal_type, 'achieved_at',
                to_char(a.achieved_at AT TIME ZONE 'UTC', 'FMYYYY-MM-DD"T"HH24:MI:SS.US"Z"')
            ) AS becomes
        FROM added a
    ), hashed AS MATERIALIZED (
        SELECT t.*, goald.audit_chain(head.hash, goald.audit_text(of_writer, t.number,
            t.tenant_id, at, 'goald', 'goal.achieved', 'enrollment', t.id,
            t.workflow_id, NULL, t.becomes)) OVER (ORDER BY t.number) AS hash
        FROM entries t
    ), written AS (
        INSERT INTO goald.audit_log (writer, number, tenant_id, recorded_at, actor, action,
            subject, subject_id, workflow_id, after, hash)
        SELECT of_writer, number, tenant_id, at, 'goald', 'goal.achieved',
            'enrollment', id, workflow_id, becomes, hash
        FROM hashed
    )
    UPDATE goald.audit_heads h SET number = last.number, hash = last.hash
    FROM (SELECT number, hash FROM hashed ORDER BY number DESC LIMIT 1) last
    WHERE h.writer = of_writer;
    RETURN NULL;
END
$$;
CREATE TRIGGER audit AFTER INSERT ON goald.workflow_goal_achievements
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION goald.audit_achievements();

-- Months --------------------------------------------------------------------------------

-- Creates the partitions of a table for the last month, this month and `ahead` more (in UTC).
-- Returns the number created.
CREATE FUNCTION goald.make_months_of(parent text, ahead integer) RETURNS integer
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
        EXECUTE format('CREATE TABLE goald.%I (LIKE goald.%I INCLUDING ALL)', name, parent);
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

-- The same for every table that is partitioned by month. (The previous release uses the name.)
CREATE OR REPLACE FUNCTION goald.make_achievement_months(ahead integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF ahead IS NULL OR ahead NOT BETWEEN 0 AND 24 THEN
        RAISE EXCEPTION 'ahead is 0 to 24 months' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('goald.make_achievement_months'));
    RETURN goald.make_months_of('workflow_goal_achievements', ahead)
        + goald.make_months_of('audit_log', ahead);
END
$$;
SELECT goald.make_achievement_months(3);

-- Drops the oldest month that ended longer ago than `keep`, of any table partitioned by month.
-- Returns the name of the table; NULL if there is none, or if another session drops one now.
-- Writers queue behind the drop for at most the lock timeout; after it, lock_not_available is
-- raised and nothing is dropped. A dropped month of the audit log records where its chains
-- continue. (The planner settings make it look up each chain by key instead of scanning the
-- log.)
CREATE FUNCTION goald.drop_month(keep interval) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
    SET lock_timeout = '100ms'
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    oldest text;
    parent text;
    month_end timestamptz;
BEGIN
    IF keep IS NULL OR keep < interval '31 days' THEN
        RAISE EXCEPTION 'keep must be at least 31 days' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF NOT pg_try_advisory_xact_lock(hashtext('goald.drop_month')) THEN
        RETURN NULL;
    END IF;
    SELECT c.relname, p.relname, to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month'
    INTO oldest, parent, month_end
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
    WHERE i.inhparent IN ('goald.workflow_goal_achievements'::regclass, 'goald.audit_log'::regclass)
      AND c.relname ~ '_\d{4}_\d{2}$'
    ORDER BY right(c.relname, 7), p.relname LIMIT 1;
    IF oldest IS NULL OR month_end >= now() - keep THEN
        RETURN NULL;
    END IF;
    IF parent = 'audit_log' THEN
        -- One index probe for each chain.
        INSERT INTO goald.audit_starts AS s (writer, number, hash)
        SELECT h.writer, l.number, l.hash
        FROM goald.audit_heads h, LATERAL (
            SELECT a.number, a.hash FROM goald.audit_log a
            WHERE a.writer = h.writer AND a.recorded_at < month_end
            ORDER BY a.number DESC LIMIT 1
        ) l
        ON CONFLICT (writer) DO UPDATE SET number = excluded.number, hash = excluded.hash
        WHERE s.number < excluded.number;
        -- If the clock went back, earlier rows are in later months.
        DELETE FROM goald.audit_log a USING goald.audit_starts s
        WHERE a.writer = s.writer AND a.number <= s.number AND a.recorded_at >= month_end;
    END IF;
    EXECUTE format('DROP TABLE goald.%I', oldest);
    RETURN oldest;
END
$$;

-- Rights --------------------------------------------------------------------------------

ALTER TABLE goald.audit_log ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE goald.audit_heads ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE goald.audit_starts ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY api_tenant ON goald.audit_log FOR SELECT TO goald_api
    USING (tenant_id = (SELECT goald.tenant()));
CREATE POLICY api_appends ON goald.audit_log FOR INSERT TO goald_api
    WITH CHECK (tenant_id = (SELECT goald.tenant()) AND writer = 'tenant/' || tenant_id);
CREATE POLICY shard_appends ON goald.audit_log FOR INSERT TO goald_shard
    WITH CHECK (writer = 'slots/' || (SELECT goald.first_slot()));
CREATE POLICY api_tenant ON goald.audit_heads TO goald_api
    USING (tenant_id = (SELECT goald.tenant()) AND writer = 'tenant/' || tenant_id);
CREATE POLICY shard_slots ON goald.audit_heads TO goald_shard
    USING (slot = (SELECT goald.first_slot()) AND writer = 'slots/' || slot);
-- For `goald audit verify`, which reads the whole log, and for dropping months.
CREATE POLICY owner_verifies ON goald.audit_log FOR SELECT TO goald_owner USING (true);
CREATE POLICY owner_drops ON goald.audit_log FOR DELETE TO goald_owner USING (true);
CREATE POLICY owner_verifies ON goald.audit_heads FOR SELECT TO goald_owner USING (true);
CREATE POLICY owner_keeps ON goald.audit_starts TO goald_owner USING (true);
GRANT SELECT, INSERT ON goald.audit_log TO goald_api;
GRANT INSERT ON goald.audit_log TO goald_shard;
GRANT SELECT, INSERT, UPDATE (number, hash) ON goald.audit_heads TO goald_api, goald_shard;

REVOKE EXECUTE ON FUNCTION
    goald.audit_text(text, bigint, text, timestamptz, text, text, text, text, text, jsonb, jsonb),
    goald.audit_link(bytea, bytea, text), goald.audit_chain(bytea, text),
    goald.audit_head(text, text, smallint),
    goald.audit_append(text, text, text, text, text, jsonb, jsonb),
    goald.audit_change(), goald.audit_achievements(), goald.make_months_of(text, integer),
    goald.drop_month(interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    goald.audit_text(text, bigint, text, timestamptz, text, text, text, text, text, jsonb, jsonb),
    goald.audit_link(bytea, bytea, text), goald.audit_chain(bytea, text),
    goald.audit_head(text, text, smallint) TO goald_api, goald_shard;
GRANT EXECUTE ON FUNCTION
    goald.audit_append(text, text, text, text, text, jsonb, jsonb) TO goald_api;
GRANT EXECUTE ON FUNCTION goald.drop_month(interval) TO goald_shard;
