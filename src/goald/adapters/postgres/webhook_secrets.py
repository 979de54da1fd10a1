"""Webhook secrets: one for each tenant and provider, encrypted."""

from collections.abc import Mapping, Sequence
from typing import Any

from goald.adapters.postgres.tenants import TenantPool
from goald.domain.credentials.encrypted import EncryptedValue
from goald.domain.credentials.webhooks import (
    MAX_WEBHOOKS,
    EventGrant,
    SigningSecret,
    WebhookEntry,
)
from goald.domain.errors import TooManyWebhooks
from goald.ports.secrets.cipher import SecretCipher

FIND = """
SELECT secret, key_id, encrypted_secret, types, sources FROM goald.webhook_secrets
WHERE tenant_id = $1 AND provider = $2
"""
"""No row if the tenant has no secret for the provider."""

SERIALIZE = "SELECT pg_advisory_xact_lock(hashtext('goald.webhooks'), hashtext($1))"
"""One at a time creates webhooks of a tenant, so that the count before it stays right."""

COUNT_BEFORE_NEW = """
SELECT count(*) FROM goald.webhook_secrets WHERE tenant_id = $1
HAVING NOT coalesce(bool_or(provider = $2), false)
"""
"""The webhooks of a tenant. No row if the tenant has a webhook of the provider, which a change
replaces."""

SAVE = """
INSERT INTO goald.webhook_secrets
    (tenant_id, provider, key_id, encrypted_secret, types, sources, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (tenant_id, provider) DO UPDATE
    SET secret = NULL, key_id = excluded.key_id, encrypted_secret = excluded.encrypted_secret,
        types = excluded.types, sources = excluded.sources,
        created_at = now(), created_by = excluded.created_by
RETURNING xmax = 0
"""
"""Replaces a previous secret, which becomes invalid at the commit. True if there was none."""

DELETE = "DELETE FROM goald.webhook_secrets WHERE tenant_id = $1 AND provider = $2 RETURNING true"
"""True if there was one."""

LIST = """
SELECT provider, (extract(epoch FROM created_at) * 1000000)::bigint AS created_at_us, types, sources
FROM goald.webhook_secrets WHERE tenant_id = $1 ORDER BY provider
"""
"""Never secrets."""


class PostgresWebhookSecrets:
    """`api.ports.WebhookSecrets`."""

    def __init__(self, pool: TenantPool, cipher: SecretCipher) -> None:
        """`cipher`: encrypts the secrets. `get` and `put` raise its errors."""
        self._pool = pool
        self._cipher = cipher

    async def get(self, tenant: str, provider: str) -> SigningSecret | None:
        async with self._pool.tenant(tenant, readonly=True) as connection:
            row = await connection.fetchrow(FIND, tenant, provider)
        if row is None:
            return None
        # Plain text that the previous release wrote.
        secret: bytes | None = row["secret"]
        if secret is None:
            encrypted = EncryptedValue(row["key_id"], row["encrypted_secret"])
            secret = self._cipher.decrypt(encrypted, *context_of(tenant, provider))
        return SigningSecret(secret, _grant(row))

    async def put(self, tenant: str, provider: str, secret: SigningSecret, actor: str) -> bool:
        """Store a secret. Returns whether there was none before. Raises TooManyWebhooks."""
        value = self._cipher.encrypt(secret.secret, *context_of(tenant, provider))
        types = sorted(secret.grant.types)
        sources = None if secret.grant.sources is None else sorted(secret.grant.sources)
        async with self._pool.tenant(tenant, actor) as connection:
            await connection.execute(SERIALIZE, tenant)
            existing = await connection.fetchval(COUNT_BEFORE_NEW, tenant, provider)
            if existing is not None and existing >= MAX_WEBHOOKS:
                raise TooManyWebhooks(
                    f"A tenant may have {MAX_WEBHOOKS} webhooks. Delete a webhook that is not used."
                )
            created = await connection.fetchval(
                SAVE, tenant, provider, value.key_id, value.data, types, sources, actor
            )
        return bool(created)

    async def delete(self, tenant: str, provider: str, actor: str) -> bool:
        """Delete a secret. Returns whether there was one."""
        async with self._pool.tenant(tenant, actor) as connection:
            return bool(await connection.fetchval(DELETE, tenant, provider))

    async def list(self, tenant: str) -> Sequence[WebhookEntry]:
        """The webhooks of a tenant, ordered by provider."""
        async with self._pool.tenant(tenant, readonly=True) as connection:
            rows = await connection.fetch(LIST, tenant)
        return [WebhookEntry(row["provider"], row["created_at_us"], _grant(row)) for row in rows]


def context_of(tenant: str, provider: str) -> tuple[str, ...]:
    """The place of a secret: an encrypted secret is worthless in any other row."""
    return ("webhook_secrets", tenant, provider)


def _grant(row: Mapping[str, Any]) -> EventGrant:
    return EventGrant(
        tuple(row["types"]), None if row["sources"] is None else tuple(row["sources"])
    )
