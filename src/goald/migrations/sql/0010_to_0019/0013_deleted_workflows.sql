-- Deletion of workflows.

-- A deleted workflow keeps its row, inactive and without goals, until `goald.purge_deleted`. Running
-- shards learn of the deletion from the row, also those of the previous release, and its
-- versions continue if the id is used again, so that an ETag never repeats.
ALTER TABLE goald.workflows ADD COLUMN deleted_at timestamptz;
CREATE INDEX workflows_deleted ON goald.workflows (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX workflow_goals_deleted ON goald.workflow_goals (deleted_at)
    WHERE deleted_at IS NOT NULL;

-- A save of a deleted workflow creates it again, also a save by the previous release, which does not
-- know the column. (Taking a configuration version changes no `version`.)
CREATE FUNCTION goald.create_again() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.deleted_at := NULL;
    NEW.created_at := NEW.updated_at;
    NEW.created_by := NEW.updated_by;
    RETURN NEW;
END
$$;
CREATE TRIGGER create_again BEFORE UPDATE ON goald.workflows FOR EACH ROW
    WHEN (OLD.deleted_at IS NOT NULL AND NEW.version <> OLD.version)
    EXECUTE FUNCTION goald.create_again();

-- As in 0007. In addition, a workflow that is created again is recorded as created, and the removal
-- of a deleted row is not recorded, because its deletion was.
CREATE OR REPLACE FUNCTION goald.audit_change() RETURNS trigger
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
    IF was ->> 'deleted_at' IS NOT NULL THEN
        IF becomes IS NULL THEN
            RETURN NULL;
        END IF;
        was := NULL;
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

-- Removes up to `most` goals and workflows each that were deleted longer ago than `keep`, when their
-- achievements and their audit rows are dropped as well. Returns the number of removed rows. Shards
-- have long loaded the deletions.
CREATE FUNCTION goald.purge_deleted(keep interval, most integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET lock_timeout = '100ms'
AS $$
DECLARE
    goals bigint;
    workflows bigint;
BEGIN
    IF keep IS NULL OR keep < interval '31 days' THEN
        RAISE EXCEPTION 'keep must be at least 31 days' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    DELETE FROM goald.workflow_goals WHERE (tenant_id, id) IN (
        SELECT g.tenant_id, g.id FROM goald.workflow_goals g WHERE g.deleted_at < now() - keep
        ORDER BY g.deleted_at LIMIT most);
    GET DIAGNOSTICS goals = ROW_COUNT;
    DELETE FROM goald.workflows WHERE (tenant_id, id) IN (
        SELECT w.tenant_id, w.id FROM goald.workflows w WHERE w.deleted_at < now() - keep
          AND NOT EXISTS (SELECT FROM goald.workflow_goals g
              WHERE g.tenant_id = w.tenant_id AND g.workflow_id = w.id)
        ORDER BY w.deleted_at LIMIT most);
    GET DIAGNOSTICS workflows = ROW_COUNT;
    RETURN goals + workflows;
END
$$;

-- Row security applies to the owner too.
CREATE POLICY owner_purges ON goald.workflows TO goald_owner USING (deleted_at IS NOT NULL);
CREATE POLICY owner_purges ON goald.workflow_goals TO goald_owner USING (deleted_at IS NOT NULL);

REVOKE EXECUTE ON FUNCTION goald.create_again(), goald.purge_deleted(interval, integer)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION goald.purge_deleted(interval, integer) TO goald_shard;
