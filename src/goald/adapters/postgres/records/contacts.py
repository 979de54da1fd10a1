"""The enrollments of one contact, and one enrollment, as their tenant sees them."""

from collections.abc import Mapping, Sequence

from goald.adapters.postgres.records.executions.statements import OPEN_OF_CONTACT
from goald.adapters.postgres.records.forwards import continuing, continuing_each
from goald.adapters.postgres.records.projection import PostgresContactStore
from goald.adapters.postgres.records.reader import enrollment_of
from goald.adapters.postgres.shard import statements
from goald.adapters.postgres.shard.ended import read as read_ended
from goald.adapters.postgres.shard.statements import END_ONLY
from goald.adapters.postgres.shard.store import workflow_of
from goald.adapters.postgres.shard.used_events import COUNTED_BEFORE
from goald.adapters.postgres.tenants import TenantPool
from goald.domain.contacts.projection import Contact
from goald.domain.ids import ContactId, TenantId, WorkflowId
from goald.domain.records.enrollment import Enrollment
from goald.domain.records.execution import Execution
from goald.ports.contacts import (
    MAX_COUNTED,
    ContactState,
    EndedEnrollment,
    Exclusion,
    StartState,
)
from goald.ports.shard_store import EndedCheck, WatchedRuns

MOST_ACTIVE = 1_000
MOST_ENDED = 100

_ENROLLMENT = """
SELECT id, workflow_id, contact_id, status, goald.us(enrolled_at) AS enrolled_at,
       goald.us(ended_at) AS ended_at, met_goals, pending_actions, cancelled_actions,
       goald.us(exit_acknowledged_at) AS exit_acknowledged_at, match_values,
       goald.us(met_after_end_at) AS met_after_end_at
FROM goald.workflow_enrollments
"""

ENROLLMENT = _ENROLLMENT + "WHERE tenant_id = $1 AND id = $2"
"""One enrollment of the tenant."""

ENDED = (
    _ENROLLMENT
    + """
WHERE tenant_id = $1 AND contact_id = $2 AND ended_at IS NOT NULL
ORDER BY workflow_enrollments.ended_at DESC
LIMIT $3
"""
)
"""The ended enrollments of a contact, newest first, in the order of the index."""

WORKFLOW_IDS = """
SELECT workflow_id, max(total) FROM (
    SELECT workflow_id, count(*) OVER () AS total FROM goald.workflow_enrollments
    WHERE tenant_id = $1 AND contact_id = $2 AND ended_at IS NULL
    ORDER BY enrolled_at DESC, id
    LIMIT $3
) AS newest
GROUP BY workflow_id
"""
"""The workflows of the enrollments that LOAD_NEWEST returns, each with the number of all active
enrollments of the contact."""


COUNT_ACTIVE = """
SELECT contact_id, count(*)
FROM (
    SELECT c.contact_id
    FROM unnest($2::text[]) AS c (contact_id)
    CROSS JOIN LATERAL (
        SELECT FROM goald.workflow_enrollments
        WHERE tenant_id = $1 AND contact_id = c.contact_id AND ended_at IS NULL
        LIMIT $3
    ) AS e
    LIMIT $3
) AS enrollments
GROUP BY contact_id
"""
"""The active enrollments of the contacts that have any. Reads at most $3 in all, those of the
first contacts first."""

EXISTING = f"""
SELECT e.id, e.status, e.contact_id, e.workflow_id, goald.us(e.enrolled_at), {END_ONLY}
FROM goald.workflow_enrollments e WHERE e.tenant_id = $1 AND e.id = ANY ($2::text[])
"""
"""The enrollments of the tenant with these ids, and whether perhaps only their ends are known."""


EXCLUSIONS = f"""
SELECT e.id, coalesce(e.started_by = $3::text::uuid, false)
FROM goald.workflow_enrollments e
LEFT JOIN goald.used_events u
    ON u.tenant_id = e.tenant_id AND u.contact_id = e.contact_id
    AND u.workflow_id = e.workflow_id AND u.event = $3::text::uuid
WHERE e.tenant_id = $1 AND e.contact_id = $2 AND e.id = ANY ($4::text[])
  AND (e.started_by = $3::text::uuid OR {COUNTED_BEFORE} AND NOT EXISTS (
        SELECT FROM goald.erasures t
        WHERE t.tenant_id = u.tenant_id AND t.contact_id = u.contact_id
          AND u.enrolled_at <= t.deleted_at AND e.used_before > t.used_before))
"""
"""The enrollments of a contact for which an event does not count, and whether it started them. As
EXCLUDED of a shard."""


class PostgresContacts:
    """`ports.ContactReader` and `api.ports.EnrollmentLookup`. Each call executes in a separate
    transaction."""

    def __init__(
        self, pool: TenantPool, *, most_active: int = MOST_ACTIVE, most_ended: int = MOST_ENDED
    ) -> None:
        """`most_active`, `most_ended`: how many enrollments of a contact are returned, the
        newest."""
        self._pool = pool
        self._projections = PostgresContactStore(pool)
        self._most_active = most_active
        self._most_ended = most_ended

    async def read(
        self, tenant: TenantId, contact: ContactId, workflows: Sequence[str] = ()
    ) -> ContactState:
        rows = bytearray()

        async def take_piece(piece: bytes) -> None:
            rows.extend(piece)

        newest = (tenant, contact, self._most_active)
        async with self._pool.tenant(tenant, readonly=True) as connection:
            await connection.copy_from_query(
                statements.LOAD_NEWEST, *newest, output=take_piece, format="binary"
            )
            counted = await connection.fetch(WORKFLOW_IDS, *newest)
            executions = await connection.fetch(OPEN_OF_CONTACT, *newest)
            ended = await connection.fetch(ENDED, tenant, contact, self._most_ended + 1)
            ids = {*workflows, *(name for name, _ in counted)}
            ids |= {row["workflow_id"] for row in ended}
            read = await connection.fetch(statements.WORKFLOWS_OF_TENANT, tenant, sorted(ids))
        ended.sort(key=lambda row: (-row["ended_at"], row["id"]))
        active_count = counted[0][1] if counted else 0
        return ContactState(
            workflows=[workflow_of(row) for row in read],
            active=bytes(rows),
            active_count=active_count,
            ended=[enrollment_of(row) for row in ended[: self._most_ended]],
            truncated=active_count > self._most_active or len(ended) > self._most_ended,
            executions={row["id"]: Execution(**row) for row in executions},
        )

    async def continuing(self, tenant: TenantId, contact: ContactId) -> ContactId:
        async with self._pool.tenant(tenant, readonly=True) as connection:
            return ContactId(await continuing(connection, tenant, contact))

    async def start_state(
        self, tenant: TenantId, contacts: Sequence[ContactId], enrollments: Sequence[str]
    ) -> StartState:
        async with self._pool.tenant(tenant, readonly=True) as connection:
            existing = await connection.fetch(EXISTING, tenant, enrollments)
            involved = {*contacts, *(row["contact_id"] for row in existing)}
            ends = await continuing_each(connection, tenant, involved)
            counted = list(dict.fromkeys(ends.get(contact, contact) for contact in contacts))
            active = await connection.fetch(COUNT_ACTIVE, tenant, counted, MAX_COUNTED)

        def owner(contact: str) -> ContactId:
            return ContactId(ends.get(contact, contact))

        return StartState(
            {ContactId(contact): ContactId(end) for contact, end in ends.items()},
            dict.fromkeys(map(ContactId, counted), 0) | {ContactId(of): n for of, n in active},
            {
                row["id"]: (owner(row["contact_id"]), WorkflowId(row["workflow_id"]))
                for row in existing
            },
            {
                id_: EndedEnrollment(owner(contact), *began)
                for id_, status, contact, *began in existing
                if status != "active"
            },
        )

    async def exclusions(
        self, tenant: TenantId, contact: ContactId, event_key: str, enrollments: Sequence[str]
    ) -> Mapping[str, Exclusion]:
        async with self._pool.tenant(tenant, readonly=True) as connection:
            rows = await connection.fetch(EXCLUSIONS, tenant, contact, event_key, enrollments)
        return {
            id_: Exclusion.STARTED_IT if started_it else Exclusion.COUNTED_BEFORE
            for id_, started_it in rows
        }

    async def ended(self, checks: Sequence[EndedCheck]) -> WatchedRuns:
        async with self._pool.tenant(checks[0].tenant_id, readonly=True) as connection:
            return await read_ended(connection, checks)

    async def projection(self, tenant: TenantId, contact: ContactId) -> Contact:
        found = await self._projections.projection(tenant, contact)
        return Contact() if found is None else found

    async def enrollment(self, tenant: str, enrollment_id: str) -> Enrollment | None:
        async with self._pool.tenant(tenant, readonly=True) as connection:
            row = await connection.fetchrow(ENROLLMENT, tenant, enrollment_id)
        return None if row is None else enrollment_of(row)
