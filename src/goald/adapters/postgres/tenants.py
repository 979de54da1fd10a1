"""Connections that see one tenant at a time, for everything that the API and the commands
read and change (3.3, D8)."""

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
"""Which tenant the transaction sees, and who the audit log says it was. Both end with the
transaction: a connection goes back without them, whatever became of its user."""


class TenantPool:
    """A few connections under the role goald_api, opened when they are first needed.

    Bound to the event loop that uses it first.
    """

    def __init__(
        self, dsn: str, connections: int, *, statement_seconds: float = STATEMENT_SECONDS
    ) -> None:
        """`connections`: at most so many at once. `statement_seconds`: the server ends a
        statement that takes longer, waiting for a lock included. Does not connect."""
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
        """An asyncpg connection in a transaction that sees this tenant's rows and no other's.

        Committed at the end of the body, rolled back where the body raises or is cancelled.
        `actor`: who changes something, for the audit log; the login where it is None.
        `readonly`: nothing can be changed, and all that is read is of one moment.

        One tenant has half of the connections at most, so that its slow statements leave some
        to the others (D8); a body must not ask for another one.

        ServiceUnavailable where Postgres is away, a statement takes too long, or no connection
        is free for ACQUIRE_SECONDS; SchemaMismatch where it is not migrated. What else the body
        raises leaves as it is.
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
        """An asyncpg connection without a tenant, and so without any tenant's rows: for what
        belongs to nobody. Errors are those of `tenant`."""
        try:
            pool = self._pool or await self._open()
            connection = await self._acquire(pool)
            try:
                yield connection
            finally:
                # The pool resets it before another has it. One that cannot be reset it has
                # closed; that takes nothing back from what was committed.
                with suppress(*FAILURES):
                    await pool.release(connection, timeout=CONNECT_SECONDS)
        except GoaldError:
            raise
        except FAILURES as error:
            raise translate(error) from error

    async def close(self) -> None:
        """Close every connection, waiting a little for those in use."""
        async with self._opening:
            pool, self._pool = self._pool, None
        if pool is not None:
            try:
                await asyncio.wait_for(pool.close(), CONNECT_SECONDS)
            except FAILURES:
                pool.terminate()

    @asynccontextmanager
    async def _share(self, tenant: str) -> AsyncIterator[None]:
        """Wait in the tenant's own line, where nobody else stands behind it."""
        most = max(1, self._connections // 2)
        share = self._shares.setdefault(tenant, asyncio.Semaphore(most))
        try:
            async with asyncio.timeout(ACQUIRE_SECONDS):
                await share.acquire()
        except TimeoutError:
            raise ServiceUnavailable(
                f"Postgres: this tenant has {most} of the API's {self._connections} connections, "
                "and none of them is free"
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
                f"Postgres: none of the API's {self._connections} connections is free"
            ) from None

    async def _open(self) -> asyncpg.Pool:
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._dsn,
                    min_size=0,
                    max_size=self._connections,
                    timeout=CONNECT_SECONDS,
                    # The server ends a statement first, if it can be reached at all.
                    command_timeout=self._statement_seconds + CONNECT_SECONDS,
                    server_settings=SETTINGS
                    | {
                        "role": API_ROLE,
                        "application_name": "goald-api",
                        "statement_timeout": f"{self._statement_seconds * 1000:.0f}",
                    },
                )
            return self._pool
