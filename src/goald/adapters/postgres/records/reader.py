"""Lists of enrollments and achievements, and the listeners of a workflow, read from Postgres."""

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, get_args
from uuid import UUID

from goald.adapters.postgres.records import statements
from goald.adapters.postgres.records.forwards import continuing
from goald.adapters.postgres.tenants import TenantPool
from goald.domain.records.achievement import Achievement
from goald.domain.records.enrollment import Enrollment, EnrollmentStatus
from goald.domain.records.listeners import ListenerStatus
from goald.domain.records.pages import Page, PageRequest, Row, RowPosition

SCANNED = 10_000
"""The number of achievements that a page scans at most, with any filters (D8)."""

_STATUSES = list(get_args(EnrollmentStatus))
_BEFORE_ALL, _AFTER_ALL = -62_135_596_800_000_000, 253_402_300_800_000_000
"""The start of the year 1 and the end of 9999, which bound the times of events."""
_SELECTIVE = {"contact_id", "enrollment_id"}
"""Filters that have an index and leave few rows to sort."""


class PostgresRecords:
    """`api.ports.RecordReader`. Each call executes in a separate transaction."""

    def __init__(self, pool: TenantPool, *, scanned: int = SCANNED) -> None:
        """`scanned`: the number of achievements that a page scans at most."""
        self._pool = pool
        self._scanned = scanned

    async def enrollments(
        self, tenant: str, workflow_id: str, filters: Mapping[str, Any], span: PageRequest
    ) -> Page[Enrollment]:
        status, contact = filters.get("status"), filters.get("contact_id")
        given = [*bounds_of(tenant, workflow_id, span), _STATUSES if status is None else [status]]
        async with self._pool.tenant(tenant, readonly=True) as connection:
            if contact is not None:
                contact = await continuing(connection, tenant, contact)
                found = await connection.fetch(statements.ENROLLMENTS_OF_CONTACT, *given, contact)
            else:
                await connection.execute(statements.IN_ORDER)
                found = await connection.fetch(statements.ENROLLMENTS, *given)
        rows = [enrollment_of(row) for row in found]
        return page_of(rows, span, lambda row: (row.enrolled_at, row.id))

    async def achievements(
        self, tenant: str, workflow_id: str, filters: Mapping[str, Any], span: PageRequest
    ) -> Page[Achievement]:
        """A page of a filtered list may hold fewer rows than requested, even none, although more
        pages follow: rare achievements are found over several pages."""
        names = sorted(name for name, value in filters.items() if value is not None)
        bounds, values = bounds_of(tenant, workflow_id, span), [filters[name] for name in names]
        end = None
        async with self._pool.tenant(tenant, readonly=True) as connection:
            if (contact := filters.get("contact_id")) is not None:
                values[names.index("contact_id")] = await continuing(connection, tenant, contact)
            if _SELECTIVE.intersection(names):
                found = await connection.fetch(statements.achievements(names), *bounds, *values)
            else:
                await connection.execute(statements.IN_ORDER)
                if not names:
                    found = await connection.fetch(statements.achievements([]), *bounds)
                else:
                    among = statements.achievements_among(names)
                    found = await connection.fetch(among, *bounds, self._scanned, *values)
                    if len(found) <= span.limit:
                        end = await connection.fetchrow(
                            statements.ACHIEVEMENTS_SCANNED_TO, *bounds[:-1], self._scanned - 1
                        )
        rows = [Achievement(**{**row, **_parsed(row)}) for row in found]
        if end is not None:
            return Page(rows, (end[0], str(end[1])))
        return page_of(rows, span, lambda row: (row.achieved_at, str(row.id)))

    async def is_known(self, tenant: str, workflow_id: str) -> bool:
        async with self._pool.tenant(tenant, readonly=True) as connection:
            known: bool = await connection.fetchval(statements.IS_KNOWN, tenant, workflow_id)
        return known

    async def listening(self, tenant: str, workflow_id: str) -> ListenerStatus:
        async with self._pool.tenant(tenant, readonly=True) as connection:
            row = await connection.fetchrow(statements.LISTENING, tenant, workflow_id)
            goals = await connection.fetch(statements.LISTENING_GOALS, tenant, workflow_id)
        active = [(goal["id"], goal["goal_type"]) for goal in goals]
        return ListenerStatus(goals=active if row["is_active"] else [], **row)


def enrollment_of(row: Any) -> Enrollment:
    """The enrollment in a row with the names of its fields."""
    values = row["match_values"]
    return Enrollment(**{**row, "match_values": None if values is None else json.loads(values)})


def bounds_of(tenant: str, workflow_id: str, span: PageRequest) -> list[Any]:
    """The parameters that every list shares. One extra row shows whether more rows follow."""
    since = _BEFORE_ALL if span.since is None else span.since
    until = _AFTER_ALL if span.until is None else span.until
    at, id_ = span.after or (_AFTER_ALL, str(UUID(int=0)))
    return [tenant, workflow_id, since, until, at, id_, span.limit + 1]


def page_of(rows: list[Row], span: PageRequest, place: Callable[[Row], RowPosition]) -> Page[Row]:
    if len(rows) <= span.limit:
        return Page(rows, None)
    kept = rows[: span.limit]
    return Page(kept, place(kept[-1]))


def _parsed(row: Any) -> dict[str, Any]:
    """Ids as uuid.UUID instead of asyncpg's type, and JSON with numbers as Decimal."""
    ids = {name: UUID(int=row[name].int) for name in ("id", "goal_config_id")}
    carried = {
        name: json.loads(row[name], parse_float=Decimal, parse_int=Decimal)
        for name in ("trigger_event", "metadata")
    }
    return ids | carried
