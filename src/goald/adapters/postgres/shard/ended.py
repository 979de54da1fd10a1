"""Enrollments that have ended, for events that arrive later (E18)."""

from collections.abc import Sequence
from typing import Any, Final

from goald.ports.shard_store import (
    ENDED_OF_CONTACT,
    EndedCheck,
    RunEnd,
    WatchedRun,
    WatchedRuns,
)

RUNS = """
SELECT e.tenant_id, e.contact_id, e.workflow_id, e.id, e.status, goald.us(e.enrolled_at),
       goald.us(e.ended_at), goald.us(coalesce(e.received_at, e.enrolled_at)),
       e.met_goals::text[], e.match_values::text, e.started_by::text
FROM unnest($1::text[], $2::text[], $3::text[]) AS n (tenant_id, contact_id, workflow_id)
CROSS JOIN LATERAL (
    SELECT o.* FROM goald.workflow_enrollments o
    WHERE o.tenant_id = n.tenant_id AND o.contact_id = n.contact_id AND o.ended_at IS NOT NULL
    ORDER BY o.ended_at DESC
    LIMIT $4
) AS e
WHERE e.workflow_id = n.workflow_id
  AND e.status <> 'completed_goal' AND e.met_after_end_at IS NULL
  AND e.ended_at > e.enrolled_at
  AND NOT EXISTS (
    SELECT FROM goald.erasures t
    WHERE t.tenant_id = e.tenant_id AND t.contact_id = e.contact_id
      AND coalesce(e.received_at, e.enrolled_at) <= t.deleted_at)
"""
"""The enrollments of these contacts in these workflows for which events may count. Reads the latest
$4 ended ones of each contact, in the order of the index, however many there are. Those of a deleted
contact do not count, also before they are erased. If only the end of an enrollment is known, it
ended when it began."""

COUNTED = """
SELECT n.place
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY
    AS n (tenant_id, contact_id, workflow_id, event, place)
JOIN goald.used_events u
    ON u.tenant_id = n.tenant_id AND u.contact_id = n.contact_id
    AND u.workflow_id = n.workflow_id AND u.event = n.event::uuid
"""
"""The places of the checks whose event has counted in the workflow."""

IN_ORDER: Final = "SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off"
"""Makes the transaction read ends in the order of their index: the planner underestimates the rows
behind a position."""

ENDS = """
SELECT goald.us(ended_at), tenant_id, id, contact_id
FROM goald.workflow_enrollments
WHERE status IN ('completed', 'exited', 'cancelled')
  AND (ended_at, tenant_id COLLATE "POSIX", id COLLATE "POSIX") < (goald.at($1), $2::text, $3::text)
  AND ended_at >= goald.at($4)
ORDER BY workflow_enrollments.ended_at DESC, tenant_id COLLATE "POSIX" DESC,
         id COLLATE "POSIX" DESC
LIMIT $5
"""
"""Execute after IN_ORDER. The ends before a position, back to $4."""


async def read(connection: Any, checks: Sequence[EndedCheck]) -> WatchedRuns:
    """See `ShardStore.ended`, in the transaction of the caller."""
    asked = sorted({check[:3] for check in checks})
    columns = map(list, zip(*asked, strict=True))
    rows = await connection.fetch(RUNS, *columns, ENDED_OF_CONTACT)
    runs: dict[tuple[str, str, str], list[WatchedRun]] = {}
    for tenant, contact, workflow, *run in rows:
        runs.setdefault((tenant, contact, workflow), []).append(WatchedRun(*run))
    counted = await connection.fetch(COUNTED, *map(list, zip(*checks, strict=True)))
    return WatchedRuns(runs, {checks[place - 1] for (place,) in counted})


async def ends(connection: Any, before: RunEnd, first: int, limit: int) -> list[RunEnd]:
    """See `ShardStore.ends`, in the transaction of the caller."""
    await connection.execute(IN_ORDER)
    rows = await connection.fetch(ENDS, *before[:3], first, limit)
    return [RunEnd(*row) for row in rows]
