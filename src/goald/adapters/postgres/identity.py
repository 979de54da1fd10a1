"""Which Postgres a process works with, and whether it still is the same (D10)."""

from dataclasses import dataclass
from typing import Any

import asyncpg

from goald.adapters.postgres import session_statements as statements
from goald.domain.errors import ServerReplaced
from goald.ports.outbox import DatabaseIdentity

UNKNOWN = "unknown"
"""The name of a server that may not be asked, as some that are rented may not."""

_NOT_FOR_US = (asyncpg.InsufficientPrivilegeError, asyncpg.FeatureNotSupportedError,
               asyncpg.UndefinedFunctionError)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Seen:
    system: str
    timeline: str
    flushed: int


class PostgresIdentity:
    """The server behind the connections of one process, as it was last seen.

    One that was restored from a copy, or a standby that took over, may lack what was
    committed; what this process holds in memory is then not what the tables say. Once that is
    found it stays found: the process has to begin anew.
    """

    def __init__(self) -> None:
        self._seen: _Seen | None = None

    async def recognise(self, connection: Any) -> DatabaseIdentity:
        """Look. Raises ServerReplaced where it is another, or has less than it had. Within no
        transaction, or one that is given up after an error."""
        before = self._seen  # another connection may see it later, and be heard of earlier
        try:
            row = await connection.fetchrow(statements.SERVER_IDENTITY)
        except _NOT_FOR_US:
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
            f"Postgres came back as another: system {found.system}, timeline {found.timeline}; "
            f"it was {before.system}, {before.timeline}"
        )
    if found.flushed < before.flushed:
        raise ServerReplaced(
            f"Postgres came back with less: its log ends at {found.flushed}, "
            f"and had been written to {before.flushed}"
        )
