"""Webhook secrets: one for each tenant and provider."""

from collections.abc import Sequence

from goald.adapters.postgres.tenants import TenantPool

FIND = "SELECT secret FROM goald.webhook_secrets WHERE tenant_id = $1 AND provider = $2"
"""No row if the tenant has no secret for the provider."""

SAVE = """
INSERT INTO goald.webhook_secrets (tenant_id, provider, secret, created_by)
VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant_id, provider) DO UPDATE
    SET secret = excluded.secret, created_at = now(), created_by = excluded.created_by
RETURNING xmax = 0
"""
"""Replaces a previous secret, which becomes invalid at the commit. True if there was none."""

DELETE = "DELETE FROM goald.webhook_secrets WHERE tenant_id = $1 AND provider = $2 RETURNING true"
"""True if there was one."""

LIST = """
SELECT provider, (extract(epoch FROM created_at) * 1000000)::bigint
FROM goald.webhook_secrets WHERE tenant_id = $1 ORDER BY provider
"""
"""Providers and times, never secrets."""


class PostgresWebhookSecrets:
    """`api.ports.WebhookSecrets`."""

    def __init__(self, pool: TenantPool) -> None:
        self._pool = pool

    async def get(self, tenant: str, provider: str) -> bytes | None:
        async with self._pool.tenant(tenant, readonly=True) as connection:
            secret: bytes | None = await connection.fetchval(FIND, tenant, provider)
        return secret

    async def put(self, tenant: str, provider: str, secret: bytes, actor: str) -> bool:
        """Store a secret. Returns whether there was none before."""
        async with self._pool.tenant(tenant, actor) as connection:
            return bool(await connection.fetchval(SAVE, tenant, provider, secret, actor))

    async def delete(self, tenant: str, provider: str, actor: str) -> bool:
        """Delete a secret. Returns whether there was one."""
        async with self._pool.tenant(tenant, actor) as connection:
            return bool(await connection.fetchval(DELETE, tenant, provider))

    async def list(self, tenant: str) -> Sequence[tuple[str, int]]:
        """(provider, time of creation in microseconds), by provider."""
        async with self._pool.tenant(tenant, readonly=True) as connection:
            return [tuple(row) for row in await connection.fetch(LIST, tenant)]
