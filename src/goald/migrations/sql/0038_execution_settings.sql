-- The settings of tenants for executions. The defaults are those of a tenant without a row.
ALTER TABLE goald.tenant_settings
    -- The admin is notified of failed executions.
    ADD error_notification boolean NOT NULL DEFAULT true,
    ADD max_retry_attempts smallint NOT NULL DEFAULT 3
        CHECK (max_retry_attempts BETWEEN 0 AND 10),
    -- NULL: GOALD_RETRY_BASE_SECONDS.
    ADD retry_base_delay_seconds double precision
        CHECK (retry_base_delay_seconds BETWEEN 0.001 AND 86400),
    ADD concurrent_executions_per_account integer NOT NULL DEFAULT 100
        CHECK (concurrent_executions_per_account BETWEEN 1 AND 1000000);
