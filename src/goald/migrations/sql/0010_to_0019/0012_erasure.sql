-- Erasure of deleted contacts.

-- The key of the marks. Only goald.contact_mark reads it.
CREATE TABLE goald.erasure_key (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    key bytea NOT NULL
);
INSERT INTO goald.erasure_key (key)
SELECT sha256(convert_to(string_agg(gen_random_uuid()::text, ''), 'UTF8'))
FROM generate_series(1, 8);

-- A keyed hash of a contact: recognizes the contact without storing its id.
CREATE FUNCTION goald.contact_mark(of_tenant text, of_contact text) RETURNS bytea
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT sha256(k.key || sha256(k.key || convert_to(
        length(of_tenant) || ':' || of_tenant || of_contact, 'UTF8')))
    FROM goald.erasure_key k
$$;

-- Deleted contacts (tombstones). A row contains no id of the contact.
CREATE TABLE goald.erasures (
    mark bytea PRIMARY KEY,
    tenant_id text COLLATE "C" NOT NULL,
    slot smallint NOT NULL CHECK (slot BETWEEN 0 AND 255),
    -- The greatest time of a contact.deleted. Enrollments that began later are of a new contact
    -- under the same id.
    deleted_at timestamptz NOT NULL,
    -- Stands for the contact's id in its rows. Removed when the erasure is finished: from then on
    -- nothing connects those rows with the contact.
    pseudonym text COLLATE "C",
    -- When the oldest and the latest unfinished deletion were committed.
    requested_at timestamptz NOT NULL,
    last_requested_at timestamptz NOT NULL,
    -- When nothing of the contact was left in the streams either.
    finished_at timestamptz
);
-- For a shard, which asks whether its slots have tombstones.
CREATE INDEX erasures_slot ON goald.erasures (slot);
CREATE INDEX erasures_pending ON goald.erasures (requested_at) WHERE finished_at IS NULL;
CREATE INDEX erasures_finished ON goald.erasures (finished_at) WHERE finished_at IS NOT NULL;

ALTER TABLE goald.erasure_key ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE goald.erasures ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY owner_reads ON goald.erasure_key FOR SELECT TO goald_owner USING (true);
CREATE POLICY shard_slots ON goald.erasures TO goald_shard
    USING (slot BETWEEN (SELECT goald.first_slot()) AND (SELECT goald.last_slot()));
GRANT SELECT, INSERT, DELETE ON goald.erasures TO goald_shard;
GRANT UPDATE (deleted_at, pseudonym, requested_at, last_requested_at, finished_at)
    ON goald.erasures TO goald_shard;
REVOKE EXECUTE ON FUNCTION goald.contact_mark(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION goald.contact_mark(text, text) TO goald_shard;

-- The enrollment of a message about a contact, whether it waits or not (`enrollment_id`). NULL in
-- rows of the previous release, and in messages about workflows.
ALTER TABLE goald.outbox ADD COLUMN of_enrollment_id text COLLATE "C";

GRANT UPDATE (contact_id) ON goald.workflow_enrollments, goald.workflow_goal_achievements,
    goald.outbox TO goald_shard;

-- As in 0007, without the contact: rows of the audit log never change, so they name the
-- enrollment only.
CREATE OR REPLACE FUNCTION goald.audit_achievements() RETURNS trigger
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
            jsonb_build_object('achievement_id', a.id, 'goal_id', a.goal_config_id,
                'goal_type', a.goal_type, 'achieved_at',
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
