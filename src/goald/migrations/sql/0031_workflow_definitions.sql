-- Definitions of workflows: drafts and published versions.

CREATE TABLE goald.workflow_definitions (
    tenant_id text COLLATE "C" NOT NULL,
    workflow_id text COLLATE "C" NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    -- Not jsonb, because the order of members is kept for people.
    document json NOT NULL,
    -- SHA-256 of the document, regardless of the order of its members.
    digest bytea NOT NULL CHECK (length(digest) = 32),
    -- The compiled form, which the state machine loads. NULL for a draft.
    plan bytea,
    -- Counts the changes of all versions of a workflow. ETag and If-Match carry it.
    revision integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by text,
    published_at timestamptz,
    published_by text,
    -- The versions of a deleted workflow are kept as long as its row, so that their numbers continue
    -- if its id is used again.
    deleted_at timestamptz,
    PRIMARY KEY (tenant_id, workflow_id, version),
    FOREIGN KEY (tenant_id, workflow_id) REFERENCES goald.workflows (tenant_id, id),
    CHECK ((plan IS NULL) = (published_at IS NULL))
);
CREATE UNIQUE INDEX workflow_definitions_draft ON goald.workflow_definitions (tenant_id, workflow_id)
    WHERE published_at IS NULL AND deleted_at IS NULL;
CREATE INDEX workflow_definitions_deleted ON goald.workflow_definitions (deleted_at)
    WHERE deleted_at IS NOT NULL;

-- A published version never changes: executions continue with the version that they started with.
CREATE FUNCTION goald.refuse_change_of_published() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'version % of the definition of % is published and cannot change',
        OLD.version, OLD.workflow_id USING ERRCODE = 'integrity_constraint_violation';
END
$$;
CREATE TRIGGER published BEFORE UPDATE ON goald.workflow_definitions FOR EACH ROW
    WHEN (OLD.published_at IS NOT NULL AND (
        NEW.document::text, NEW.digest, NEW.plan, NEW.published_at)
        IS DISTINCT FROM (OLD.document::text, OLD.digest, OLD.plan, OLD.published_at))
    EXECUTE FUNCTION goald.refuse_change_of_published();

-- The audit log has the digest of a definition and not its document, which can be large and may hold
-- headers of webhooks. The digest identifies the published document.
CREATE FUNCTION goald.audit_definition() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
    was jsonb := CASE WHEN TG_OP = 'UPDATE' OR TG_OP = 'DELETE' THEN jsonb_build_object(
        'version', OLD.version, 'digest', encode(OLD.digest, 'hex'),
        'is_published', OLD.published_at IS NOT NULL) END;
    becomes jsonb := CASE WHEN TG_OP = 'INSERT' OR TG_OP = 'UPDATE' THEN jsonb_build_object(
        'version', NEW.version, 'digest', encode(NEW.digest, 'hex'),
        'is_published', NEW.published_at IS NOT NULL) END;
    of_row goald.workflow_definitions;
    verb text;
BEGIN
    IF TG_OP = 'DELETE' THEN
        of_row := OLD;
    ELSE
        of_row := NEW;
    END IF;
    -- The removal of a deleted row is not recorded, because its deletion was.
    IF was = becomes AND of_row.deleted_at IS NULL OR TG_OP = 'DELETE' AND OLD.deleted_at IS NOT NULL
    THEN
        RETURN NULL;
    END IF;
    IF of_row.deleted_at IS NOT NULL THEN
        becomes := NULL;
    END IF;
    verb := CASE
        WHEN becomes IS NULL THEN 'deleted'
        WHEN NEW.published_at IS NOT NULL THEN 'published'
        WHEN was IS NULL THEN 'created'
        ELSE 'updated'
    END;
    PERFORM goald.audit_append(of_row.tenant_id, 'definition.' || verb, 'definition',
        of_row.version::text, of_row.workflow_id, was, becomes);
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON goald.workflow_definitions
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION goald.audit_definition();

-- The definition of a workflow is deleted with it, also by the previous release.
CREATE FUNCTION goald.delete_definitions() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE goald.workflow_definitions SET deleted_at = NEW.deleted_at
    WHERE tenant_id = NEW.tenant_id AND workflow_id = NEW.id AND deleted_at IS NULL;
    RETURN NULL;
END
$$;
CREATE TRIGGER delete_definitions AFTER UPDATE ON goald.workflows FOR EACH ROW
    WHEN (NEW.deleted_at IS NOT NULL AND OLD.deleted_at IS NULL)
    EXECUTE FUNCTION goald.delete_definitions();

-- As in 0013. In addition, the definitions of deleted workflows are removed.
CREATE OR REPLACE FUNCTION goald.purge_deleted(keep interval, most integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET lock_timeout = '100ms'
AS $$
DECLARE
    goals bigint;
    definitions bigint;
    workflows bigint;
BEGIN
    IF keep IS NULL OR keep < interval '31 days' THEN
        RAISE EXCEPTION 'keep must be at least 31 days' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    DELETE FROM goald.workflow_goals WHERE (tenant_id, id) IN (
        SELECT g.tenant_id, g.id FROM goald.workflow_goals g WHERE g.deleted_at < now() - keep
        ORDER BY g.deleted_at LIMIT most);
    GET DIAGNOSTICS goals = ROW_COUNT;
    DELETE FROM goald.workflow_definitions WHERE (tenant_id, workflow_id, version) IN (
        SELECT d.tenant_id, d.workflow_id, d.version FROM goald.workflow_definitions d
        WHERE d.deleted_at < now() - keep ORDER BY d.deleted_at LIMIT most);
    GET DIAGNOSTICS definitions = ROW_COUNT;
    DELETE FROM goald.workflows WHERE (tenant_id, id) IN (
        SELECT w.tenant_id, w.id FROM goald.workflows w WHERE w.deleted_at < now() - keep
          AND NOT EXISTS (SELECT FROM goald.workflow_goals g
              WHERE g.tenant_id = w.tenant_id AND g.workflow_id = w.id)
          AND NOT EXISTS (SELECT FROM goald.workflow_definitions d
              WHERE d.tenant_id = w.tenant_id AND d.workflow_id = w.id)
        ORDER BY w.deleted_at LIMIT most);
    GET DIAGNOSTICS workflows = ROW_COUNT;
    RETURN goals + definitions + workflows;
END
$$;

ALTER TABLE goald.workflow_definitions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY api_tenant ON goald.workflow_definitions TO goald_api
    USING (tenant_id = (SELECT goald.tenant()));
CREATE POLICY api_deletes_drafts ON goald.workflow_definitions AS RESTRICTIVE FOR DELETE TO goald_api
    USING (published_at IS NULL);
CREATE POLICY owner_purges ON goald.workflow_definitions TO goald_owner
    USING (deleted_at IS NOT NULL);
GRANT SELECT, INSERT, UPDATE, DELETE ON goald.workflow_definitions TO goald_api;
REVOKE EXECUTE ON FUNCTION
    goald.refuse_change_of_published(), goald.audit_definition(), goald.delete_definitions()
    FROM PUBLIC;
