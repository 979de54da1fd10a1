"""Connections that see one tenant at a time, for everything that the API and the commands read
and change (D8)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from weakref import WeakValueDictionary

import asyncpg

from goald.adapters.postgres.connection import CONNECT_SECONDS, SETTINGS
from goald.adapters.postgres.errors import FAILURES, translate
from goald.domain.errors import GoaldError, ServiceUnavailable

API_ROLE = "goald_api"
ACQUIRE_SECONDS = 5.0
STATEMENT_SECONDS = 10.0

SET_TENANT = "SELECT set_config('goald.tenant', $1, true), set_config('goald.actor', $2, true)"
"""Sets the tenant that the transaction sees and the actor for the audit log. Both are local to the
transaction, so a connection never returns to the pool with them."""


class TenantPool:
    """A bounded pool of connections with the role goald_api, opened on demand.

    Bound to the event loop that uses it first.
    """

    def __init__(
        self, dsn: str, connections: int, *, statement_seconds: float = STATEMENT_SECONDS
    ) -> None:
        """`connections`: the size of the pool. `statement_seconds`: the server cancels a statement
        that takes longer, including lock waits. Does not connect."""
        self._dsn = dsn
        self._connections = connections
        self._statement_seconds = statement_seconds
        self._opening = asyncio.Lock()
        self._shares: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._pool: asyncpg.Pool | None = None

    @asynccontextmanager
    async def tenant(
        self, tenant: str, actor: str | None = None, *, readonly: bool = False
    ) -> AsyncIterator[Any]:
        """Yields an asyncpg connection in a transaction that sees only the rows of this tenant.

        Commits at the end of the `with` block, and rolls back if the block raises or is cancelled.
        `actor`: the actor for the audit log; None for the login role. `readonly`: a read-only
        transaction on one snapshot.

        A tenant gets at most half of the connections, so that its slow statements do not block
        other tenants (D8). The block must not request another connection.

        Raises ServiceUnavailable if Postgres is unreachable, a statement takes too long, or no
        connection is free within ACQUIRE_SECONDS; SchemaMismatch if the database is not
        migrated. Other errors of the block are raised unchanged.
        """
        isolation = "repeatable_read" if readonly else None
        async with (
            self._share(tenant),
            self.connection() as connection,
            connection.transaction(isolation=isolation, readonly=readonly),
        ):
            await connection.execute(SET_TENANT, tenant, actor or "")
            yield connection

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """Yields an asyncpg connection that sees no tenant's rows. Raises errors like `tenant`."""
        try:
            pool = self._pool or await self._open()
            connection = await self._acquire(pool)
            try:
                yield connection
            finally:
                # The pool resets the connection, or closes it if that fails. Either way the
                # committed transaction stands.
                with suppress(*FAILURES):
                    await pool.release(connection, timeout=CONNECT_SECONDS)
        except GoaldError:
            raise
        except FAILURES as error:
            raise translate(error) from error

    async def close(self) -> None:
        """Close every connection; waits at most CONNECT_SECONDS for those in use."""
        async with self._opening:
            pool, self._pool = self._pool, None
        if pool is not None:
            try:
                await asyncio.wait_for(pool.close(), CONNECT_SECONDS)
            except FAILURES:
                pool.terminate()

    @asynccontextmanager
    async def _share(self, tenant: str) -> AsyncIterator[None]:
        """Wait in a queue of the tenant, so that other tenants do not wait behind it."""
        limit = max(1, self._connections // 2)
        share = self._shares.setdefault(tenant, asyncio.Semaphore(limit))
        try:
            async with asyncio.timeout(ACQUIRE_SECONDS):
                await share.acquire()
        except TimeoutError:
            raise ServiceUnavailable(
                f"Postgres: all {limit} connections that a tenant may use are busy"
            ) from None
        try:
            yield
        finally:
            share.release()

    async def _acquire(self, pool: asyncpg.Pool) -> Any:
        try:
            return await pool.acquire(timeout=ACQUIRE_SECONDS)
        except TimeoutError:
            raise ServiceUnavailable(
                f"Postgres: all {self._connections} connections of the API are busy"
            ) from None

    async def _open(self) -> asyncpg.Pool:
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._dsn,
                    min_size=0,
                    max_size=self._connections,
                    timeout=CONNECT_SECONDS,
                    # Longer than the timeout of the server, which applies if it is reachable.
                    command_timeout=self._statement_seconds + CONNECT_SECONDS,
                    server_settings=SETTINGS
                    | {
                        "role": API_ROLE,
                        "application_name": "goald-api",
                        "statement_timeout": f"{self._statement_seconds * 1000:.0f}",
                    },
                )
            return self._pool
