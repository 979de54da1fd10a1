-- The settings that row security reads, and exact conversions of times.
-- The roles and the schema exist already: see goald.migrations.roles.

REVOKE ALL ON SCHEMA goald FROM PUBLIC;
GRANT USAGE ON SCHEMA goald TO goald_api, goald_shard;
GRANT SELECT ON goald.alembic_version TO goald_api, goald_shard;

-- One end of the setting goald.slots ("lo-hi"), which a shard sets in each transaction.
-- Raises an error if it is not set, because hidden rows must never look like missing rows.
-- (After a transaction that set it, the setting is '', not NULL.)
CREATE FUNCTION goald.slot_bound(which integer) RETURNS smallint
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
DECLARE
    slots text := current_setting('goald.slots', true);
BEGIN
    IF slots IS NULL OR slots !~ '^\d{1,3}-\d{1,3}$' THEN
        RAISE EXCEPTION 'goald.slots is not set in this transaction'
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'SELECT set_config(''goald.slots'', ''0-127'', true)';
    END IF;
    RETURN split_part(slots, '-', which)::smallint;
END
$$;

CREATE FUNCTION goald.first_slot() RETURNS smallint
LANGUAGE sql STABLE PARALLEL SAFE AS $$ SELECT goald.slot_bound(1) $$;

CREATE FUNCTION goald.last_slot() RETURNS smallint
LANGUAGE sql STABLE PARALLEL SAFE AS $$ SELECT goald.slot_bound(2) $$;

-- The tenant of the API's transaction; NULL if it is not set, so that no row is visible.
CREATE FUNCTION goald.tenant() RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT NULLIF(current_setting('goald.tenant', true), '') $$;

-- Microseconds since the epoch to a time and back, exact for the years 1 to 9999. The interval
-- is multiplied in two steps, because a double does not hold all the microseconds before 1684
-- or after 2255. extract() returns a numeric.
CREATE FUNCTION goald.at(us bigint) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT timestamptz 'epoch' + us / 1000000 * interval '1 second'
        + us % 1000000 * interval '1 microsecond'
$$;

CREATE FUNCTION goald.us(at timestamptz) RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT (extract(epoch FROM at) * 1000000)::bigint $$;

-- By default, Postgres lets every role execute a new function.
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA goald FROM PUBLIC;
GRANT EXECUTE ON FUNCTION goald.slot_bound(integer), goald.first_slot(), goald.last_slot()
    TO goald_shard;
GRANT EXECUTE ON FUNCTION goald.tenant() TO goald_api;
GRANT EXECUTE ON FUNCTION goald.at(bigint), goald.us(timestamptz) TO goald_api, goald_shard;
