"""The erasures of all tenants, in Postgres."""

from collections.abc import Sequence

from goald.adapters.postgres.connection import SETTINGS, Connection
from goald.adapters.postgres.shard.leases import SHARD_ROLE
from goald.domain.records.erasure import (
    PSEUDONYM_PREFIX,
    DueErasures,
    PendingErasures,
    Subject,
)
from goald.domain.slots import SLOTS, SlotRange

ALL_SLOTS = SlotRange(0, SLOTS - 1)
MOST_DUE = 10_000

PENDING = """
SELECT count(*), coalesce(extract(epoch FROM now() - min(requested_at)), 0)::float8,
       count(contact_id),
       coalesce(extract(epoch FROM
           now() - min(requested_at) FILTER (WHERE contact_id IS NOT NULL)), 0)::float8
FROM goald.erasures WHERE finished_at IS NULL
"""

BEFORE = "SELECT goald.us(now() - $1::float8 * interval '1 second')"

DUE = f"""
SELECT mark FROM goald.erasures e
WHERE finished_at IS NULL AND contact_id IS NULL AND requested_at <= goald.at($1)
  AND NOT EXISTS (
      SELECT FROM goald.outbox o
      WHERE o.published_at IS NULL AND o.redact_when_published AND o.slot = e.slot)
ORDER BY requested_at LIMIT {MOST_DUE}
"""
"""Without contacts that rows may still contain, and those in whose slot a message of a deleted
contact is not published yet."""

FINISH = """
WITH due AS MATERIALIZED (
    SELECT mark FROM goald.erasures WHERE mark = ANY ($1::bytea[]) ORDER BY mark FOR UPDATE
), changed AS (
    UPDATE goald.erasures e SET
        finished_at = CASE WHEN is_done THEN now() END,
        pseudonym = CASE WHEN is_done THEN NULL ELSE pseudonym END,
        requested_at = CASE WHEN is_done THEN requested_at ELSE last_requested_at END
    FROM due CROSS JOIN LATERAL (
        SELECT s.last_requested_at <= goald.at($2) AS is_done
        FROM goald.erasures s WHERE s.mark = due.mark) AS state
    WHERE e.mark = due.mark
    RETURNING is_done
)
SELECT count(*) FROM changed WHERE is_done
"""
"""Finishes erasures and forgets their pseudonyms. An erasure that was requested again since then
becomes due later."""

ANY_TOMBSTONE = "SELECT EXISTS (SELECT FROM goald.erasures)"

ERASED_ENROLLMENTS = """
SELECT n.place FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY
    AS n (tenant_id, id, contact_id, place)
JOIN goald.workflow_enrollments e ON e.tenant_id = n.tenant_id AND e.id = n.id
WHERE CASE WHEN starts_with(e.contact_id, $4)
    THEN coalesce(e.erased_at, e.updated_at) <= goald.at($5)
    ELSE e.contact_id <> n.contact_id AND EXISTS (
        SELECT FROM goald.erasures t
        WHERE t.mark = goald.contact_mark(n.tenant_id, n.contact_id)
          AND t.requested_at <= goald.at($5)) END
"""
"""Each by the time of the deletion of its contact: of the contact of the row, or of the
contact of the message, if the enrollment has moved to another contact since (E21)."""

ERASED_CONTACTS = """
WITH n AS MATERIALIZED (
    SELECT *, goald.contact_mark(tenant_id, contact_id) AS mark
    FROM unnest($1::text[], $2::text[], $3::int8[], $4::int8[]) WITH ORDINALITY
        AS n (tenant_id, contact_id, at, added_at, place)
)
SELECT n.place FROM n JOIN goald.erasures t ON t.mark = n.mark
WHERE goald.at(n.at) <= t.deleted_at OR goald.at(n.added_at) <= t.last_requested_at
   OR NOT EXISTS (
      SELECT FROM goald.workflow_enrollments e
      WHERE e.tenant_id = n.tenant_id AND e.contact_id = n.contact_id)
"""

STALE_STATISTICS = """
SELECT s.relid FROM pg_stat_all_tables s
WHERE (s.relid = 'goald.workflow_enrollments'::regclass OR s.relid IN (
        SELECT inhrelid FROM pg_inherits
        WHERE inhparent = 'goald.workflow_goal_achievements'::regclass))
  AND (s.n_mod_since_analyze > 0 OR coalesce(s.last_analyze, s.last_autoanalyze) IS NULL)
ORDER BY s.relid
"""
"""The tables with contacts that may have changed since their statistics were collected. After a
crash of Postgres, that is not known of any table."""

ANALYZE = "SELECT goald.analyze_contacts($1::oid)"

EXPIRE = """
WITH expired AS (
    DELETE FROM goald.erasures WHERE mark = ANY (ARRAY(
        SELECT mark FROM goald.erasures
        WHERE finished_at IS NOT NULL AND finished_at < now() - make_interval(days => $1)
        LIMIT 5000))
    RETURNING 1
) SELECT count(*) FROM expired
"""


class PostgresErasures:
    """`runtime.jobs.erasure.Erasures`, over its own connection, opened on first use."""

    def __init__(self, dsn: str) -> None:
        self._connection = Connection(
            dsn, role=SHARD_ROLE, name="goald-erasure", settings=SETTINGS, command_seconds=60
        )

    async def pending(self) -> PendingErasures:
        async with self._connection.transaction(ALL_SLOTS) as connection:
            return PendingErasures(*await connection.fetchrow(PENDING))

    async def due(self, hold_s: float) -> DueErasures:
        async with self._connection.transaction(ALL_SLOTS) as connection:
            before_us = await connection.fetchval(BEFORE, hold_s)
            marks = [row[0] for row in await connection.fetch(DUE, before_us)]
        return DueErasures(marks, before_us, has_more=len(marks) == MOST_DUE)

    async def finish(self, due: DueErasures) -> int:
        async with self._connection.transaction(ALL_SLOTS) as connection:
            finished: int = await connection.fetchval(FINISH, due.marks, due.before_us)
        return finished

    async def refresh_statistics(self) -> None:
        async with self._connection.transaction(ALL_SLOTS) as connection:
            tables = [row[0] for row in await connection.fetch(STALE_STATISTICS)]
        for table in tables:
            async with self._connection.transaction(ALL_SLOTS) as connection:
                await connection.execute(ANALYZE, table)

    async def any_tombstone(self) -> bool:
        async with self._connection.transaction(ALL_SLOTS) as connection:
            exists: bool = await connection.fetchval(ANY_TOMBSTONE)
        return exists

    async def erased_enrollments(
        self, subjects: Sequence[Subject], before_us: int
    ) -> Sequence[int]:
        tenants = [subject.tenant for subject in subjects]
        ids = [subject.enrollment for subject in subjects]
        contacts = [subject.contact for subject in subjects]
        async with self._connection.transaction(ALL_SLOTS) as connection:
            rows = await connection.fetch(
                ERASED_ENROLLMENTS, tenants, ids, contacts, PSEUDONYM_PREFIX, before_us
            )
        return [row[0] - 1 for row in rows]

    async def erased_contacts(self, subjects: Sequence[tuple[Subject, int]]) -> Sequence[int]:
        columns = (
            [subject.tenant for subject, _ in subjects],
            [subject.contact for subject, _ in subjects],
            [subject.time for subject, _ in subjects],
            [added_at for _, added_at in subjects],
        )
        async with self._connection.transaction(ALL_SLOTS) as connection:
            rows = await connection.fetch(ERASED_CONTACTS, *columns)
        return [row[0] - 1 for row in rows]

    async def expire(self, keep_days: int) -> int:
        async with self._connection.transaction(ALL_SLOTS) as connection:
            expired: int = await connection.fetchval(EXPIRE, keep_days)
        return expired

    async def close(self) -> None:
        await self._connection.close()
