"""Monthly partitions of the achievements, the audit log and the log of executions."""

from datetime import UTC, datetime
from typing import Final

import asyncpg

from goald.adapters.postgres.connection import SETTINGS, Connection
from goald.adapters.postgres.shard.leases import SHARD_ROLE
from goald.adapters.postgres.shard.missed import KEEP_DAYS
from goald.domain.errors import ServiceUnavailable
from goald.domain.slots import SLOTS, SlotRange

MAKE_MONTHS = "SELECT goald.make_achievement_months($1)"

DROP_MONTH = "SELECT goald.drop_month(make_interval(days => $1))"
"""Drops one month of one table, or none. Waits, and blocks writers, for at most the lock timeout
that the function sets."""

DROP_LOG_MONTH = "SELECT goald.drop_log_month(make_interval(days => $1))"
"""As DROP_MONTH, for the log of executions."""

PURGE_DELETED = "SELECT goald.purge_deleted(make_interval(days => $1), $2)"

WINDOW_DAYS: Final = 366
"""For how long an event may count again at most: the longest conversion window (E18), and a day
because an event may be dated ahead."""

PURGE_USED_EVENTS = """
WITH old AS (
    DELETE FROM goald.used_events WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM goald.used_events WHERE used_at < now() - make_interval(days => $1)
        ORDER BY used_at LIMIT $2))
    RETURNING 1
) SELECT count(*) FROM old
"""
"""Removes the oldest used events. A row that a commit changes meanwhile is found again later."""

PURGE_WITHOUT_WINDOW = """
WITH page AS MATERIALIZED (
    SELECT u.ctid AS place, u.tenant_id, u.used_at FROM goald.used_events u
    WHERE u.used_at < now() - make_interval(days => $1) AND (u.used_at, u.ctid) > ($3, $4::tid)
    ORDER BY u.used_at, u.ctid LIMIT $2
), old AS (
    DELETE FROM goald.used_events WHERE ctid = ANY (ARRAY(
        SELECT p.place FROM page p WHERE NOT EXISTS (
            SELECT FROM goald.workflow_goals g
            WHERE g.tenant_id = p.tenant_id AND g.deleted_at IS NULL
              AND g.conversion_window > ($1 - 1) * 86400)))
    RETURNING 1
)
SELECT (SELECT count(*) FROM old) AS removed, (SELECT count(*) FROM page) AS read,
       p.used_at, p.place
FROM page p ORDER BY p.used_at DESC, p.place DESC LIMIT 1
"""
"""Removes used events of a page of $2, in their order after a position, without those of tenants
with a conversion window for which they are needed. Returns no row if the page is empty, else the
position of its end. Events of such tenants are read once."""

_START: Final = datetime.min.replace(tzinfo=UTC), (0, 0)

PURGE_MISSED = f"""
WITH old AS (
    DELETE FROM goald.missed_runs WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM goald.missed_runs WHERE missed_at < now() - interval '{KEEP_DAYS} days'
        ORDER BY missed_at LIMIT $1 FOR UPDATE SKIP LOCKED))
    RETURNING 1
), events AS (
    DELETE FROM goald.missed_events WHERE ctid = ANY (ARRAY(
        SELECT m.ctid FROM goald.missed_events m
        WHERE m.missed_at < now() - interval '{KEEP_DAYS} days' AND NOT EXISTS (
            SELECT FROM goald.missed_runs r
            WHERE r.tenant_id = m.tenant_id AND r.contact_id = m.contact_id AND r.event = m.event
              AND r.missed_at >= now() - interval '{KEEP_DAYS} days')
        ORDER BY m.missed_at LIMIT $1 FOR UPDATE OF m SKIP LOCKED))
    RETURNING 1
) SELECT (SELECT count(*) FROM old) + (SELECT count(*) FROM events)
"""
"""Removes the oldest enrollments that missed an event, and events that no other one missed."""

PURGE_ANSWERS = """
WITH old AS (
    DELETE FROM goald.execution_answers WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM goald.execution_answers WHERE answered_at < now() - interval '1 hour'
        ORDER BY answered_at LIMIT $1))
    RETURNING 1
) SELECT count(*) FROM old
"""
"""Removes the oldest answers to requests. The API waits for seconds only."""

ALL_SLOTS = SlotRange(0, SLOTS - 1)


class PostgresMonths:
    """`runtime.retention.Months`, over its own connection, opened on first use."""

    def __init__(self, dsn: str) -> None:
        self._connection = Connection(
            dsn, role=SHARD_ROLE, name="goald-months", settings=SETTINGS, command_seconds=600
        )
        self._read_until = _START
        """The position in the used events before which all are needed until WINDOW_DAYS."""

    async def make(self, ahead: int) -> int:
        async with self._connection.use() as connection:
            created: int = await connection.fetchval(MAKE_MONTHS, ahead)
        return created

    async def drop_oldest(self, keep_days: int) -> str | None:
        return await self._drop(DROP_MONTH, keep_days)

    async def drop_oldest_log(self, keep_days: int) -> str | None:
        return await self._drop(DROP_LOG_MONTH, keep_days)

    async def _drop(self, statement: str, keep_days: int) -> str | None:
        async with self._connection.use() as connection:
            try:
                dropped: str | None = await connection.fetchval(statement, keep_days)
            except asyncpg.LockNotAvailableError:
                raise ServiceUnavailable(
                    "Postgres: another transaction uses the table of the oldest month"
                ) from None
        return dropped

    async def purge_deleted(self, keep_days: int, most: int) -> int:
        async with self._connection.use() as connection:
            try:
                removed: int = await connection.fetchval(PURGE_DELETED, keep_days, most)
            except asyncpg.LockNotAvailableError:
                raise ServiceUnavailable(
                    "Postgres: another transaction uses the workflows"
                ) from None
        return removed

    async def purge_used_events(self, keep_days: int, most: int) -> int:
        all_days = max(keep_days, WINDOW_DAYS)
        async with self._connection.transaction(ALL_SLOTS) as connection:
            removed: int = await connection.fetchval(PURGE_USED_EVENTS, all_days, most)
        page = None
        while not removed and (page is None or page["read"] == most):
            async with self._connection.transaction(ALL_SLOTS) as connection:
                position = keep_days, most, *self._read_until
                page = await connection.fetchrow(PURGE_WITHOUT_WINDOW, *position)
            if page is None:
                break
            self._read_until = page["used_at"], page["place"]
            removed = page["removed"]
        return removed

    async def purge_missed(self, most: int) -> int:
        async with self._connection.transaction(ALL_SLOTS) as connection:
            removed: int = await connection.fetchval(PURGE_MISSED, most)
        return removed

    async def purge_answers(self, most: int) -> int:
        async with self._connection.transaction(ALL_SLOTS) as connection:
            removed: int = await connection.fetchval(PURGE_ANSWERS, most)
        return removed

    async def close(self) -> None:
        await self._connection.close()
