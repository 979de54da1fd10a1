"""One connection to Postgres that reconnects by itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from goald.adapters.postgres import session_statements as statements
from goald.adapters.postgres.errors import FAILURES, translate
from goald.adapters.postgres.identity import PostgresIdentity
from goald.domain.errors import GoaldError
from goald.domain.slots import SlotRange

CONNECT_SECONDS = 5.0
END_BACKEND_MS = 5_000

SETTINGS = {
    # A process that stops within a transaction must not keep its locks.
    "idle_in_transaction_session_timeout": "10s",
    "jit": "off",
}
WRITER_SETTINGS = SETTINGS | {
    # Every statement of a commit reaches few rows by key. A plan made while the tables were
    # small must not scan them after they have grown, and planning each time costs more than
    # the statement.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}


class Connection:
    """A connection with one role, opened on first use and used by one caller at a time.

    An error or a cancellation closes it, and the next use opens a new one. The new connection
    first ends the backend of the old one, so that no statement of the old connection can take
    effect after the new one has read.
    """

    def __init__(
        self,
        dsn: str,
        *,
        role: str,
        name: str,
        settings: dict[str, str],
        command_seconds: float = 30.0,
        server: PostgresIdentity | None = None,
    ) -> None:
        """`server`: if given, every reconnect verifies that it is the same server, and raises
        ServerReplaced otherwise (D10)."""
        self._dsn = dsn
        self._server = server
        self._settings = settings | {"role": role, "application_name": name}
        self._name = name
        self._command_seconds = command_seconds
        self._lock = asyncio.Lock()
        self._open: asyncpg.Connection | None = None
        self._abandoned: set[int] = set()

    @property
    def backend_pid(self) -> int | None:
        """The pid of the backend that serves this connection; None if it is not open."""
        return self._open.get_server_pid() if self._open is not None else None

    @asynccontextmanager
    async def use(self) -> AsyncIterator[Any]:
        """Yields the asyncpg connection, exclusively for this caller. Waits for other callers.

        Errors of the server and of the network are raised as `errors.translate` maps them.
        """
        async with self._lock:
            try:
                connection = await self._ready()
                yield connection
            except GoaldError:
                raise  # from the `with` block, which has ended its transaction
            except BaseException as error:
                self._abandon()
                if isinstance(error, FAILURES):
                    raise translate(error) from error
                raise

    @asynccontextmanager
    async def transaction(self, slots: SlotRange, mode: str = "") -> AsyncIterator[Any]:
        """As `use`, in a transaction that sees these slots. Commits at the end of the `with` block,
        and rolls back if the block raises."""
        async with self.use() as connection:
            await connection.execute(statements.begin_for(slots, mode))
            try:
                yield connection
            except GoaldError:
                await connection.execute("ROLLBACK")
                raise
            await connection.execute("COMMIT")

    async def close(self) -> None:
        """Wait for the current caller, then close the connection, in at most CONNECT_SECONDS."""
        async with self._lock:
            connection, self._open = self._open, None
            if connection is not None:
                try:
                    await connection.close(timeout=CONNECT_SECONDS)
                except FAILURES:
                    connection.terminate()

    async def _ready(self) -> asyncpg.Connection:
        if self._open is None or self._open.is_closed():
            if self._open is not None:
                self._abandon()
            connection = await asyncpg.connect(
                self._dsn,
                timeout=CONNECT_SECONDS,
                command_timeout=self._command_seconds,
                server_settings=self._settings,
            )
            try:
                if self._server is not None:
                    await self._server.recognise(connection)
            except BaseException:
                # On another server the recorded pids belong to other backends.
                connection.terminate()
                raise
            self._open = connection
            if self._abandoned:
                await end_backends(connection, list(self._abandoned), self._name)
                self._abandoned.clear()
        return self._open

    def _abandon(self) -> None:
        connection, self._open = self._open, None
        if connection is None:
            return
        self._abandoned.add(connection.get_server_pid())
        connection.terminate()


async def end_backends(connection: asyncpg.Connection, pids: list[int], name: str) -> None:
    """End these backends and wait until they have ended, at most END_BACKEND_MS each.

    Ends only backends of the same login and of this application name, because a pid may have
    been reused. Must not be called within a transaction.
    """
    async with connection.transaction():
        # Only the login role may end its backends; the roles that it assumes may not.
        await connection.execute(statements.ACT_AS_LOGIN)
        await connection.fetch(statements.END_BACKENDS, pids, name, END_BACKEND_MS)
