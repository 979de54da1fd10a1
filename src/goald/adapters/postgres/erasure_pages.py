"""The pages of an erasure: replaces deleted contacts in their rows, after their deletions."""

from collections.abc import Sequence
from typing import Any, Final

from goald.adapters.postgres.connection import SETTINGS, Connection
from goald.adapters.postgres.shard import missed
from goald.adapters.postgres.shard.leases import SHARD_ROLE
from goald.adapters.postgres.shard.statements import END_ONLY
from goald.domain.records.erasure import ErasurePage
from goald.domain.slots import SLOTS, SlotRange

ALL_SLOTS = SlotRange(0, SLOTS - 1)
PAGE_ROWS = 1_000
PAGE_CONTACTS = 200
PAGE_SECONDS = 60.0

PLANNED: Final = SETTINGS | {
    # The best of the indexes that begin with the tenant depends on the number of its rows.
    "plan_cache_mode": "force_custom_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}

LOCK = "SELECT pg_try_advisory_xact_lock(hashtext('goald.erasures'))"
"""One instance rewrites at a time, so that no page waits for another."""

DELETED = f"""
SELECT mark, tenant_id, contact_id, goald.us(deleted_at) AS at, pseudonym,
       goald.us(last_requested_at) AS requested_at, used_before
FROM goald.erasures e WHERE contact_id IS NOT NULL AND NOT EXISTS (
    SELECT FROM goald.transfers t
    WHERE t.tenant_id = e.tenant_id AND t.contact_id = e.contact_id)
ORDER BY requested_at LIMIT {PAGE_CONTACTS}
"""
"""The contacts that rows may contain, the oldest deletion first. The enrollments of a merged
contact are not of it (E21), so its erasure begins when they have moved. Does not lock them, because
a deletion of the same contact must not wait for a page."""

_N = """
unnest($1::bytea[], $2::text[], $3::text[], $4::int8[], $5::text[], $6::int8[], $7::int8[])
    AS n (mark, tenant_id, contact_id, at, pseudonym, requested_at, used_before)
"""
_IS_OF_THE_DELETED = f"""
(coalesce(e.received_at, e.enrolled_at) <= goald.at(n.at)
 OR e.received_at IS NULL AND {END_ONLY})
"""
"""Whether an enrollment of a deleted contact began before the deletion: if it is dated ahead, it
began when its start was received, and if it moved, at the merge (E21). If only the end of an
enrollment is known, it may have begun before."""

_ENROLLMENTS = f"""
FROM goald.workflow_enrollments e
WHERE e.tenant_id = n.tenant_id AND e.contact_id = n.contact_id AND {_IS_OF_THE_DELETED}
"""
_MESSAGES = f"""
FROM goald.outbox o
WHERE o.tenant_id = n.tenant_id AND o.contact_id = n.contact_id AND (
    o.of_enrollment_id IS NULL OR EXISTS (
        SELECT FROM goald.workflow_enrollments e
        WHERE e.tenant_id = o.tenant_id AND e.id = o.of_enrollment_id AND (
            e.contact_id <> n.contact_id OR {_IS_OF_THE_DELETED})))
"""
"""Without the messages of enrollments that began after the deletion. The enrollment may have moved
to another contact (E21), or be erased."""
_USED_EVENTS = """
FROM goald.used_events u
WHERE u.tenant_id = n.tenant_id AND u.contact_id = n.contact_id
  AND u.enrolled_at <= goald.at(n.at) AND NOT EXISTS (
    SELECT FROM goald.workflow_enrollments e
    WHERE e.tenant_id = u.tenant_id AND e.contact_id = u.contact_id
      AND e.workflow_id = u.workflow_id AND e.used_before BETWEEN u.number AND n.used_before
      AND (e.status = 'active') IS TRUE)
"""
"""Without the events that an active enrollment of a later contact under the same id excludes,
because it was inserted before the deletion. IS TRUE keeps the planner from the index of active
rows, which would read all of them."""

_MISSED_RUNS = """
FROM goald.missed_runs r
WHERE r.tenant_id = n.tenant_id AND r.contact_id = n.contact_id AND NOT EXISTS (
    SELECT FROM goald.workflow_enrollments e
    WHERE e.tenant_id = r.tenant_id AND e.id = r.enrollment_id AND e.contact_id = r.contact_id)
"""
"""Those of the enrollments that do not contain the contact any more."""

_MISSED_EVENTS = """
FROM goald.missed_events v
WHERE v.tenant_id = n.tenant_id AND v.contact_id = n.contact_id AND NOT EXISTS (
    SELECT FROM goald.missed_runs r
    WHERE r.tenant_id = v.tenant_id AND r.contact_id = v.contact_id AND r.event = v.event)
"""
"""Without the events that an enrollment of a later contact under the same id missed."""

_ENTRIES = """
FROM goald.workflow_entries w
WHERE w.tenant_id = n.tenant_id AND w.contact_id = n.contact_id
  AND w.last_started_at <= goald.at(n.at)
"""
_BLOCKED = """
FROM goald.execution_logs l
WHERE l.tenant_id = n.tenant_id AND l.contact_id = n.contact_id AND l.at <= goald.at(n.at)
"""
"""The log of triggers that were blocked: rows of executions have no contact."""

ERASE_OUTBOX = f"""
WITH page AS MATERIALIZED (
    SELECT m.number, n.pseudonym FROM {_N} CROSS JOIN LATERAL (
        SELECT o.number {_MESSAGES} LIMIT {PAGE_ROWS} FOR UPDATE OF o SKIP LOCKED) AS m
    LIMIT {PAGE_ROWS}
)
UPDATE goald.outbox o
SET contact_id = page.pseudonym,
    payload = CASE WHEN o.published_at IS NULL THEN o.payload ELSE '' END,
    redact_when_published = o.published_at IS NULL
FROM page WHERE o.number = page.number
"""
"""Redacts published rows now, and the others when they are marked (MARK_PUBLISHED), because an
empty message must not be published. Rows that a commit has locked remain for the next page."""

ERASE_ENROLLMENTS = f"""
WITH page AS MATERIALIZED (
    SELECT n.tenant_id, m.id, n.pseudonym, n.at, n.requested_at FROM {_N} CROSS JOIN LATERAL (
        SELECT e.id {_ENROLLMENTS} LIMIT {PAGE_ROWS} FOR UPDATE OF e SKIP LOCKED) AS m
    LIMIT {PAGE_ROWS}
), achievements AS (
    UPDATE goald.workflow_goal_achievements a
    SET contact_id = page.pseudonym, trigger_event = '{{}}', metadata = '{{}}'
    FROM page WHERE a.tenant_id = page.tenant_id AND a.workflow_enrollment_id = page.id
), executions AS (
    UPDATE goald.workflow_executions x
    SET contact_id = page.pseudonym, attributes = NULL, used_events = '{{}}', gate = NULL,
        updated_at = now(), ended_at = coalesce(x.ended_at, now()),
        status = CASE WHEN x.ended_at IS NULL THEN 'CANCELLED' ELSE x.status END,
        completion_reason = coalesce(x.completion_reason, 'contact_deleted')
    FROM page WHERE x.tenant_id = page.tenant_id AND x.id = page.id
)
UPDATE goald.workflow_enrollments e
SET contact_id = page.pseudonym, match_values = NULL, updated_at = now(),
    erased_at = goald.at(page.requested_at),
    status = CASE e.status WHEN 'active' THEN 'cancelled' ELSE e.status END,
    ended_at = coalesce(e.ended_at, greatest(e.enrolled_at, goald.at(page.at)))
FROM page WHERE e.tenant_id = page.tenant_id AND e.id = page.id
"""
"""Removes the contacts, and the event data at any time of the events; status, times and goals stay
for the statistics. Cancels what is still active, so that no active enrollment or execution is
without its contact."""

ERASE_USED_EVENTS = f"""
WITH page AS MATERIALIZED (
    SELECT m.* FROM {_N} CROSS JOIN LATERAL (
        SELECT u.tenant_id, u.contact_id, u.workflow_id, u.event
        {_USED_EVENTS} LIMIT {PAGE_ROWS} FOR UPDATE OF u SKIP LOCKED) AS m
    LIMIT {PAGE_ROWS}
)
DELETE FROM goald.used_events u USING page
WHERE u.tenant_id = page.tenant_id AND u.contact_id = page.contact_id
  AND u.workflow_id = page.workflow_id AND u.event = page.event
"""
"""Execute it after ERASE_ENROLLMENTS, because it reads the enrollments that contain the contact."""

ERASE_MISSED_RUNS = f"""
WITH page AS MATERIALIZED (
    SELECT m.* FROM {_N} CROSS JOIN LATERAL (
        SELECT r.tenant_id, r.enrollment_id
        {_MISSED_RUNS} LIMIT {PAGE_ROWS} FOR UPDATE OF r SKIP LOCKED) AS m
    LIMIT {PAGE_ROWS}
)
DELETE FROM goald.missed_runs r USING page
WHERE r.tenant_id = page.tenant_id AND r.enrollment_id = page.enrollment_id
"""
"""Execute it after ERASE_ENROLLMENTS, because it reads the enrollments that contain the contact."""

LOCK_MISSED_EVENTS = f"""
SELECT m.* FROM {_N} CROSS JOIN LATERAL (
    SELECT v.tenant_id, v.contact_id, v.event::text
    {_MISSED_EVENTS} LIMIT {PAGE_ROWS} FOR UPDATE OF v SKIP LOCKED) AS m
LIMIT {PAGE_ROWS}
"""
"""Execute it after ERASE_MISSED_RUNS. After the snapshot of this statement, a commit may have added
an enrollment that missed one of these events, so `DROP_EVENTS` looks again. From now on, a commit
that needs the event waits, and adds it again."""

ERASE_ENTRIES = f"""
WITH page AS MATERIALIZED (
    SELECT m.* FROM {_N} CROSS JOIN LATERAL (
        SELECT w.tenant_id, w.contact_id, w.workflow_id
        {_ENTRIES} LIMIT {PAGE_ROWS} FOR UPDATE OF w SKIP LOCKED) AS m
    LIMIT {PAGE_ROWS}
)
DELETE FROM goald.workflow_entries w USING page
WHERE w.tenant_id = page.tenant_id AND w.contact_id = page.contact_id
  AND w.workflow_id = page.workflow_id
"""

ERASE_LOGS = f"""
WITH page AS MATERIALIZED (
    SELECT m.* FROM {_N} CROSS JOIN LATERAL (
        SELECT l.tenant_id, l.contact_id, l.number
        {_BLOCKED} LIMIT {PAGE_ROWS} FOR UPDATE OF l SKIP LOCKED) AS m
    LIMIT {PAGE_ROWS}
)
UPDATE goald.execution_logs l SET contact_id = NULL
FROM page WHERE l.tenant_id = page.tenant_id AND l.contact_id = page.contact_id
  AND l.number = page.number
"""

DONE = f"""
UPDATE goald.erasures t SET contact_id = NULL
FROM {_N}
WHERE t.mark = n.mark AND goald.us(t.last_requested_at) = n.requested_at
  AND NOT EXISTS (SELECT {_MESSAGES}) AND NOT EXISTS (SELECT {_ENROLLMENTS})
  AND NOT EXISTS (SELECT {_USED_EVENTS})
  AND NOT EXISTS (SELECT {_MISSED_RUNS}) AND NOT EXISTS (SELECT {_MISSED_EVENTS})
  AND NOT EXISTS (SELECT {_ENTRIES}) AND NOT EXISTS (SELECT {_BLOCKED})
"""
"""Forgets the contacts of which no row is left, unless they were deleted again meanwhile."""


class PostgresErasurePages:
    """`runtime.jobs.erasure_pages.Pages`, over its own connection, opened on first use."""

    def __init__(self, dsn: str) -> None:
        self._connection = Connection(
            dsn,
            role=SHARD_ROLE,
            name="goald-erasure-pages",
            settings=PLANNED,
            command_seconds=PAGE_SECONDS,
        )

    async def rewrite(self) -> ErasurePage:
        async with self._connection.transaction(ALL_SLOTS) as connection:
            if not await connection.fetchval(LOCK):
                return ErasurePage()
            deleted = await connection.fetch(DELETED)
            if not deleted:
                return ErasurePage()
            return await _rewrite(connection, list(zip(*deleted, strict=True)))

    async def close(self) -> None:
        await self._connection.close()


async def _rewrite(connection: Any, deleted: Sequence[Sequence[Any]]) -> ErasurePage:
    """One page of these contacts: of messages first, because they could be published again."""
    rows = _count(await connection.execute(ERASE_OUTBOX, *deleted))
    if rows < PAGE_ROWS:
        rows += _count(await connection.execute(ERASE_ENROLLMENTS, *deleted))
    if rows < PAGE_ROWS:
        rows += _count(await connection.execute(ERASE_USED_EVENTS, *deleted))
    if rows < PAGE_ROWS:
        rows += _count(await connection.execute(ERASE_MISSED_RUNS, *deleted))
    if rows < PAGE_ROWS:
        rows += await _erase_missed_events(connection, deleted)
    if rows < PAGE_ROWS:
        rows += _count(await connection.execute(ERASE_ENTRIES, *deleted))
    if rows < PAGE_ROWS:
        rows += _count(await connection.execute(ERASE_LOGS, *deleted))
    contacts = 0
    if rows < PAGE_ROWS:
        contacts = _count(await connection.execute(DONE, *deleted))
    return ErasurePage(rows, contacts)


async def _erase_missed_events(connection: Any, deleted: Sequence[Sequence[Any]]) -> int:
    events = await connection.fetch(LOCK_MISSED_EVENTS, *deleted)
    if not events:
        return 0
    return _count(await connection.execute(missed.DROP_EVENTS, *zip(*events, strict=True)))


def _count(status: str) -> int:
    """The number of rows in the status of an UPDATE or DELETE."""
    return int(status.rsplit(" ", 1)[1])
