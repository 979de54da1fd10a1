"""Sources: webhooks of providers, with their secrets encrypted."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from goald.adapters.postgres.tenants import TenantPool
from goald.domain.credentials.encrypted import EncryptedValue
from goald.domain.credentials.sources import (
    MAX_SOURCES,
    NO_KEYS,
    PathKeys,
    SourceChange,
    SourceEntry,
    StoredSource,
    overrides_text,
)
from goald.domain.errors import TooManySources
from goald.ports.secrets.cipher import SecretCipher

_ENTRY = """
SELECT name, preset, overrides, secret_count,
    goald.us(created_at) AS created_at_us, goald.us(updated_at) AS updated_at_us,
    goald.us(key_created_at) AS key_created_at_us,
    goald.us(previous_key_expires_at) AS previous_key_expires_at_us
"""

LIST = f"{_ENTRY} FROM goald.sources WHERE tenant_id = $1 ORDER BY name"
"""Never secrets or digests."""

FIND = f"{_ENTRY} FROM goald.sources WHERE tenant_id = $1 AND name = $2"
"""Never secrets or digests. No row if there is no source of this name."""

LOAD = f"""
{_ENTRY}, key_id, encrypted_secrets, key_digest, previous_key_digest
FROM goald.sources WHERE tenant_id = $1 AND name = $2
"""
"""All of a source. No row if there is none of this name."""

SERIALIZE = "SELECT pg_advisory_xact_lock(hashtext('goald.sources'), hashtext($1))"
"""One at a time creates sources of a tenant, so that the count before it stays right."""

COUNT_OTHERS = "SELECT count(*) FROM goald.sources WHERE tenant_id = $1 AND name <> $2"
"""The other sources of a tenant."""

SAVE = """
INSERT INTO goald.sources AS s (
    tenant_id, name, preset, overrides, secret_count, key_id, encrypted_secrets, key_digest)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (tenant_id, name) DO UPDATE SET
    preset = excluded.preset, overrides = excluded.overrides, updated_at = clock_timestamp(),
    secret_count = CASE WHEN $9 THEN s.secret_count ELSE excluded.secret_count END,
    key_id = CASE WHEN $9 THEN s.key_id ELSE excluded.key_id END,
    encrypted_secrets = CASE WHEN $9 THEN s.encrypted_secrets ELSE excluded.encrypted_secrets END
RETURNING xmax = 0
"""
"""Creates a source, or replaces all but its key; $9 keeps its secrets too. True if it is new."""

ROTATE_KEY = """
UPDATE goald.sources SET key_digest = $3, key_created_at = clock_timestamp(),
    previous_key_digest = CASE WHEN $4::bigint IS NOT NULL THEN key_digest END,
    previous_key_expires_at = goald.at($4::bigint)
WHERE tenant_id = $1 AND name = $2 RETURNING true
"""
"""The key before it stays valid until $4, in microseconds since the epoch, unless that is NULL.
True if there is such a source."""

DELETE = "DELETE FROM goald.sources WHERE tenant_id = $1 AND name = $2 RETURNING true"
"""True if there was one."""


class PostgresSources:
    """`ports.SourceStore`."""

    def __init__(self, pool: TenantPool, cipher: SecretCipher) -> None:
        """`cipher`: encrypts the secrets. `load` and `put` raise its errors."""
        self._pool = pool
        self._cipher = cipher

    async def open(self, tenant: str, name: str, key: str, now_us: int) -> StoredSource | None:
        row = await self._row(tenant, name)
        keys = NO_KEYS if row is None else _keys(row)
        if not keys.accepts(key, now_us) or row is None:
            return None
        return StoredSource(_entry(row), self._secrets(tenant, row), keys)

    async def load(self, tenant: str, name: str) -> StoredSource | None:
        row = await self._row(tenant, name)
        if row is None:
            return None
        return StoredSource(_entry(row), self._secrets(tenant, row), _keys(row))

    async def find(self, tenant: str, name: str) -> SourceEntry | None:
        async with self._pool.tenant(tenant, readonly=True) as connection:
            row = await connection.fetchrow(FIND, tenant, name)
        return None if row is None else _entry(row)

    async def list(self, tenant: str) -> Sequence[SourceEntry]:
        async with self._pool.tenant(tenant, readonly=True) as connection:
            rows = await connection.fetch(LIST, tenant)
        return [_entry(row) for row in rows]

    async def put(self, tenant: str, name: str, change: SourceChange, actor: str) -> bool:
        overrides = overrides_text(change.overrides)
        secrets, encrypted = change.secrets or (), None
        if secrets:
            text = json.dumps(secrets, separators=(",", ":")).encode()
            encrypted = self._cipher.encrypt(text, *context_of(tenant, name))
        async with self._pool.tenant(tenant, actor) as connection:
            await connection.execute(SERIALIZE, tenant)
            if await connection.fetchval(COUNT_OTHERS, tenant, name) >= MAX_SOURCES:
                raise TooManySources(
                    f"A tenant may have {MAX_SOURCES} sources. Delete a source that is not used."
                )
            created = await connection.fetchval(
                SAVE,
                *(tenant, name, change.preset, overrides, len(secrets)),
                *((encrypted.key_id, encrypted.data) if encrypted else (None, None)),
                change.key_digest,
                change.secrets is None,
            )
        return bool(created)

    async def rotate_key(
        self, tenant: str, name: str, digest: bytes, previous_expires_at_us: int | None, actor: str
    ) -> bool:
        async with self._pool.tenant(tenant, actor) as connection:
            return bool(
                await connection.fetchval(ROTATE_KEY, tenant, name, digest, previous_expires_at_us)
            )

    async def delete(self, tenant: str, name: str, actor: str) -> bool:
        async with self._pool.tenant(tenant, actor) as connection:
            return bool(await connection.fetchval(DELETE, tenant, name))

    async def _row(self, tenant: str, name: str) -> Mapping[str, Any] | None:
        async with self._pool.tenant(tenant, readonly=True) as connection:
            row: Mapping[str, Any] | None = await connection.fetchrow(LOAD, tenant, name)
        return row

    def _secrets(self, tenant: str, row: Mapping[str, Any]) -> tuple[str, ...]:
        if row["encrypted_secrets"] is None:
            return ()
        value = EncryptedValue(row["key_id"], row["encrypted_secrets"])
        text = self._cipher.decrypt(value, *context_of(tenant, row["name"]))
        return tuple(json.loads(text))


def context_of(tenant: str, name: str) -> tuple[str, ...]:
    """The place of a source's secrets: encrypted, they are worthless in any other row."""
    return ("sources", tenant, name)


def _keys(row: Mapping[str, Any]) -> PathKeys:
    return PathKeys(
        row["key_digest"], row["previous_key_digest"], row["previous_key_expires_at_us"] or 0
    )


def _entry(row: Mapping[str, Any]) -> SourceEntry:
    return SourceEntry(
        row["name"],
        row["preset"],
        json.loads(row["overrides"]),
        row["secret_count"],
        row["created_at_us"],
        row["updated_at_us"],
        row["key_created_at_us"],
        row["previous_key_expires_at_us"],
    )
