"""The secrets of all tenants, for a rotation of keys. Blocks; not for use in the daemon."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

from goald.adapters.postgres.secret_tables import TABLES, SecretTable
from goald.domain.credentials.encrypted import EncryptedValue
from goald.domain.errors import SchemaMismatch, ServiceUnavailable
from goald.ports.secrets.store import StoredSecret

CONNECT_SECONDS = 10
PAGE_ROWS = 500

ACT_AS_OWNER = b"SET ROLE goald_owner"
"""goald_owner may read and change the secrets of all tenants."""

LIMIT_WAITS = b"SET lock_timeout = '10s'"


@contextmanager
def stored_secrets(dsn: str) -> Iterator[Sequence["PostgresStoredSecrets"]]:
    """Yields a store for each kind of secret. Each statement commits by itself. Raises
    ServiceUnavailable if Postgres cannot be reached or a lock is not free within 10 s,
    SchemaMismatch if the database is not migrated or the login may not act as goald_owner."""
    try:
        with psycopg.connect(
            dsn,
            connect_timeout=CONNECT_SECONDS,
            application_name="goald-secrets",
            autocommit=True,
        ) as connection:
            connection.execute(ACT_AS_OWNER)
            connection.execute(LIMIT_WAITS)
            yield [PostgresStoredSecrets(connection, table) for table in TABLES]
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

    def __init__(self, connection: psycopg.Connection[Any], table: SecretTable) -> None:
        self._connection = connection
        self._table = table

    @property
    def kind(self) -> str:
        return self._table.kind

    def count(self) -> int:
        row = self._connection.execute(self._table.count).fetchone()
        return int(row[0]) if row else 0

    def count_by_key(self) -> dict[str, int]:
        return {
            key: int(count) for key, count in self._connection.execute(self._table.count_by_key)
        }

    def outdated(self, key_id: str, after: StoredSecret | None) -> Sequence[StoredSecret]:
        place = ("", "") if after is None else (after.tenant, after.name)
        rows = self._connection.execute(
            self._table.outdated, (key_id, *place, PAGE_ROWS)
        ).fetchall()
        return [self._stored(*row) for row in rows]

    def replace(self, secret: StoredSecret, value: EncryptedValue) -> bool:
        before = None if secret.encrypted is None else secret.encrypted.data
        done = self._connection.execute(
            self._table.replace,
            (value.key_id, value.data, secret.tenant, secret.name, secret.plain, before),
        )
        return done.rowcount == 1

    def compact(self) -> None:
        self._connection.execute(self._table.compact)

    def _stored(
        self, tenant: str, name: str, plain: bytes | None, key_id: str | None, data: bytes | None
    ) -> StoredSecret:
        encrypted = None if key_id is None or data is None else EncryptedValue(key_id, data)
        context = self._table.context_of(tenant, name)
        return StoredSecret(tenant, name, plain, encrypted, context)
