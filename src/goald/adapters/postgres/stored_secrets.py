"""The webhook secrets of all tenants, for a rotation of keys. Blocks; not for use in the daemon."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

from goald.adapters.postgres.webhook_secrets import context_of
from goald.domain.credentials.encrypted import EncryptedValue
from goald.domain.errors import SchemaMismatch, ServiceUnavailable
from goald.ports.secrets.store import StoredSecret

CONNECT_SECONDS = 10
PAGE_ROWS = 500

ACT_AS_OWNER = b"SET ROLE goald_owner"
"""goald_owner may read and change the secrets of all tenants."""

LIMIT_WAITS = b"SET lock_timeout = '10s'"

COUNT = b"SELECT count(*) FROM goald.webhook_secrets"

COUNT_BY_KEY = b"""
SELECT key_id, count(*) FROM goald.webhook_secrets WHERE key_id IS NOT NULL
GROUP BY key_id ORDER BY key_id
"""

OUTDATED = b"""
SELECT tenant_id, provider, secret, key_id, encrypted_secret FROM goald.webhook_secrets
WHERE (secret IS NOT NULL OR key_id IS DISTINCT FROM %s)
  AND (tenant_id, provider) > (%s, %s)
ORDER BY tenant_id, provider LIMIT %s
"""

REPLACE = b"""
UPDATE goald.webhook_secrets SET secret = NULL, key_id = %s, encrypted_secret = %s
WHERE tenant_id = %s AND provider = %s
  AND secret IS NOT DISTINCT FROM %s AND encrypted_secret IS NOT DISTINCT FROM %s
"""
"""Does nothing if the secret was replaced after it was read."""

COMPACT = b"VACUUM (FULL) goald.webhook_secrets"
"""Writes the table again, without the previous versions of its rows, which contain plain text.
Locks the table for milliseconds."""


@contextmanager
def stored_webhook_secrets(dsn: str) -> Iterator["PostgresStoredSecrets"]:
    """Yields the store. Each statement commits by itself. Raises ServiceUnavailable if Postgres
    cannot be reached or a lock is not free within 10 s, SchemaMismatch if the database is not
    migrated or the login may not act as goald_owner."""
    try:
        with psycopg.connect(
            dsn,
            connect_timeout=CONNECT_SECONDS,
            application_name="goald-secrets",
            autocommit=True,
        ) as connection:
            connection.execute(ACT_AS_OWNER)
            connection.execute(LIMIT_WAITS)
            yield PostgresStoredSecrets(connection)
    except (psycopg.OperationalError, psycopg.errors.LockNotAvailable) as error:
        raise ServiceUnavailable(f"Postgres: {str(error).strip()}") from error
    except (
        psycopg.errors.InvalidParameterValue,  # the role does not exist
        psycopg.errors.InsufficientPrivilege,
        psycopg.errors.UndefinedTable,
        psycopg.errors.UndefinedColumn,
    ) as error:
        raise SchemaMismatch(
            f"Cannot read the secrets: {error.diag.message_primary}. Run `goald migrate`, and use "
            "a login that may act as goald_owner."
        ) from error


class PostgresStoredSecrets:
    """`ports.SecretStore` over one connection."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def count(self) -> int:
        row = self._connection.execute(COUNT).fetchone()
        return int(row[0]) if row else 0

    def count_by_key(self) -> dict[str, int]:
        return {key: int(count) for key, count in self._connection.execute(COUNT_BY_KEY)}

    def outdated(self, key_id: str, after: StoredSecret | None) -> Sequence[StoredSecret]:
        place = ("", "") if after is None else (after.tenant, after.name)
        rows = self._connection.execute(OUTDATED, (key_id, *place, PAGE_ROWS)).fetchall()
        return [_stored(*row) for row in rows]

    def replace(self, secret: StoredSecret, value: EncryptedValue) -> bool:
        before = None if secret.encrypted is None else secret.encrypted.data
        done = self._connection.execute(
            REPLACE,
            (value.key_id, value.data, secret.tenant, secret.name, secret.plain, before),
        )
        return done.rowcount == 1

    def compact(self) -> None:
        self._connection.execute(COMPACT)


def _stored(
    tenant: str, provider: str, plain: bytes | None, key_id: str | None, data: bytes | None
) -> StoredSecret:
    encrypted = None if key_id is None or data is None else EncryptedValue(key_id, data)
    return StoredSecret(tenant, provider, plain, encrypted, context_of(tenant, provider))
