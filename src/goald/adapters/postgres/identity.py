"""The identity of the Postgres server that a process uses (D10)."""

from dataclasses import dataclass
from typing import Any

import asyncpg

from goald.adapters.postgres import session_statements as statements
from goald.domain.errors import ServerReplaced
from goald.ports.outbox import DatabaseIdentity

UNKNOWN = "unknown"
"""The name of a server that does not allow the query, such as some hosted servers."""

_NOT_ALLOWED = (asyncpg.InsufficientPrivilegeError, asyncpg.FeatureNotSupportedError,
               asyncpg.UndefinedFunctionError)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Seen:
    system: str
    timeline: str
    flushed: int


class PostgresIdentity:
    """The identity of the server behind the connections of one process, as last seen.

    A server that was restored from a copy, or a standby that was promoted, may lack committed
    rows. State in memory is then invalid. The error persists until the process restarts.
    """

    def __init__(self) -> None:
        self._seen: _Seen | None = None

    async def recognise(self, connection: Any) -> DatabaseIdentity:
        """Read the identity. Raises ServerReplaced if the server was replaced or lost data. Call it
        outside of a transaction, or abort the transaction after an error."""
        before = self._seen  # another connection may read later and return earlier
        try:
            row = await connection.fetchrow(statements.SERVER_IDENTITY)
        except _NOT_ALLOWED:
            now_us = await connection.fetchval("SELECT goald.us(clock_timestamp())")
            return DatabaseIdentity(UNKNOWN, now_us)
        found = _Seen(row["system"], row["timeline"], row["flushed"])
        if before is not None:
            _compare(before, found)
        if self._seen is before or self._seen is None:
            self._seen = found
        return DatabaseIdentity(f"{found.system}/{found.timeline}", row["now"])


def _compare(before: _Seen, found: _Seen) -> None:
    if (found.system, found.timeline) != (before.system, before.timeline):
        raise ServerReplaced(
            f"Postgres was replaced: system {found.system}, timeline {found.timeline}; "
            f"before it was system {before.system}, timeline {before.timeline}"
        )
    if found.flushed < before.flushed:
        raise ServerReplaced(
            f"Postgres lost data: its WAL ends at {found.flushed}, before the previously seen "
            f"{before.flushed}"
        )
