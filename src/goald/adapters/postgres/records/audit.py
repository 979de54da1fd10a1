"""A tenant's audit log, read from Postgres in pages."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from goald.adapters.postgres.tenants import TenantPool
from goald.domain.audit.record import ACHIEVED, AuditRecord
from goald.domain.records.pages import Page, PageRequest, RowPosition

SCANNED = 10_000
"""How many rows are scanned for one page, whatever its filters (D8)."""

IN_ORDER = "SET LOCAL enable_sort = off"
"""Makes the transaction read along the index and stop at the end of the page, even if the planner
prefers a sort."""

ALWAYS = (-62_135_596_800_000_000, 253_402_300_799_999_999)
"""The years 1 to 9999 in microseconds: the bounds of a list without bounds."""

_FROM = """
FROM goald.audit_log
WHERE tenant_id = $1 {configured}
  AND recorded_at >= goald.at($2::int8) AND recorded_at < goald.at($3::int8)
  AND (recorded_at, hash) < (goald.at($4::int8), $5::bytea)
ORDER BY recorded_at DESC, hash DESC
"""
"""Every bound is given: under row security the planner does not use an index for a coalesce(),
which is not leakproof."""

PAGE = f"""
SELECT goald.us(recorded_at) AS recorded_at, actor, action, subject, subject_id, workflow_id,
       before::text, after::text, hash
FROM (SELECT * {_FROM} LIMIT $6) AS scanned
WHERE ($8::text IS NULL OR action = $8) AND ($9::text IS NULL OR actor = $9)
  AND ($10::text IS NULL OR workflow_id = $10) AND ($11::text IS NULL OR subject_id = $11)
LIMIT $7
"""
"""Scans $6 rows from a position, newest first, and returns at most $7 that match the filters."""

SCANNED_TO = f"""
SELECT goald.us(recorded_at), hash {_FROM} LIMIT 1 OFFSET $6
"""
"""The position of the last row that PAGE scans; no row if there are fewer."""

CONFIGURED = "AND action <> 'goal.achieved'"
"""Selects changes of the configuration, which have their own index, because achievements are far
more."""


class PostgresAuditTrail:
    """`api.ports.AuditReader`. Each call executes in a separate transaction."""

    def __init__(self, pool: TenantPool, *, scanned: int = SCANNED) -> None:
        """`scanned`: how many rows are scanned for one page at most."""
        self._pool = pool
        self._scanned = scanned

    async def page(
        self, tenant: str, filters: Mapping[str, Any], span: PageRequest
    ) -> Page[AuditRecord]:
        """A page of a filtered list may hold fewer rows than requested, even none, although more
        pages follow: rare entries are found over several pages."""
        values = [filters.get(n) for n in ("action", "actor", "workflow_id", "subject_id")]
        # Without a filter every scanned row is in the page.
        is_filtered = values != [None] * 4
        scanned = self._scanned if is_filtered else span.limit + 1
        configured = CONFIGURED if filters.get("action") not in (None, ACHIEVED) else ""
        first, last = ALWAYS
        since = first if span.since is None else span.since
        until = last if span.until is None else span.until
        at, hash_ = span.after or (last, "")
        given = [tenant, since, until, at, bytes.fromhex(str(hash_))]
        async with self._pool.tenant(tenant, readonly=True) as connection:
            await connection.execute(IN_ORDER)
            found = await connection.fetch(
                PAGE.format(configured=configured), *given, scanned, span.limit + 1, *values
            )
            rows = [AuditRecord(**{**row, **_parsed(row)}) for row in found]
            if len(rows) > span.limit:
                return Page(rows[: span.limit], _place(rows[span.limit - 1]))
            if not is_filtered:
                return Page(rows, None)
            end = await connection.fetchrow(
                SCANNED_TO.format(configured=configured), *given, scanned - 1
            )
        return Page(rows, None if end is None else (end[0], end[1].hex()))


def _place(row: AuditRecord) -> RowPosition:
    return (row.recorded_at, row.hash.hex())


def _parsed(row: Any) -> dict[str, Any]:
    """JSON with amounts as Decimal."""
    return {
        name: None if row[name] is None else json.loads(row[name], parse_float=Decimal)
        for name in ("before", "after")
    }
