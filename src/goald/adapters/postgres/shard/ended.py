"""Enrollments that have ended, for events that arrive later (E18)."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from goald.ports.shard_store import (
    ENDED_OF_CONTACT,
    EndedCheck,
    EndPosition,
    RunEnd,
    WatchedRun,
    WatchedRuns,
    first_ends,
)

RUNS = """
SELECT e.tenant_id, e.contact_id, e.workflow_id, e.id, e.status, goald.us(e.enrolled_at),
       goald.us(e.ended_at), goald.us(coalesce(e.received_at, e.enrolled_at)),
       e.met_goals::text[], e.match_values::text, e.started_by::text, coalesce(e.merges, '{}')
FROM (
    SELECT tenant_id, contact_id, array_agg(workflow_id) AS workflows, min(first) AS first
    FROM unnest($1::text[], $2::text[], $3::text[], $4::int8[])
        AS asked (tenant_id, contact_id, workflow_id, first)
    GROUP BY tenant_id, contact_id
) AS n
CROSS JOIN LATERAL (
    SELECT o.* FROM goald.workflow_enrollments o
    WHERE o.tenant_id = n.tenant_id AND o.contact_id = n.contact_id
      AND o.ended_at >= goald.at(n.first)
    ORDER BY o.ended_at DESC
    LIMIT $5
) AS e
WHERE e.workflow_id = ANY (n.workflows)
  AND e.status <> 'completed_goal' AND e.met_after_end_at IS NULL
  AND (e.ended_at > e.enrolled_at OR e.received_at <= e.enrolled_at)
  AND NOT EXISTS (
    SELECT FROM goald.erasures t
    WHERE t.tenant_id = e.tenant_id AND t.contact_id = e.contact_id
      AND coalesce(e.received_at, e.enrolled_at) <= t.deleted_at)
"""
"""The enrollments of these contacts in these workflows for which events may count. Reads the latest
$5 ended ones of each contact, back to a time, in the order of the index, however many there are and
in however many workflows events may count. Those of a deleted contact do not count, also before
they are erased. If only the end of an enrollment is known, it ended when it began, and has no
`received_at` from before that."""

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
WITH n AS MATERIALIZED (
    SELECT n.slot, goald.at(n.ended_at) AS ended_at, n.id
    FROM unnest($2::int2[], $3::int8[], $4::text[]) AS n (slot, ended_at, id)
)
SELECT e.slot, goald.us(e.ended_at), e.id, e.contact_id
FROM n CROSS JOIN LATERAL (
    SELECT o.slot, o.ended_at, o.id, o.contact_id
    FROM goald.workflow_enrollments o
    WHERE o.status IN ('completed', 'exited', 'cancelled')
      AND NOT starts_with(o.contact_id, 'erased:')
      AND o.tenant_id COLLATE "POSIX" = $1::text AND o.slot = n.slot
      AND (o.ended_at, o.id COLLATE "POSIX") < (n.ended_at, n.id)
      AND o.ended_at >= goald.at($5)
    ORDER BY o.ended_at DESC, o.id COLLATE "POSIX" DESC
    LIMIT $6
) AS e
"""
"""Execute after IN_ORDER. The ends of a tenant before a position in each slot, back to $5, up to $6
of a slot. The positions are computed first, because under row security the index is not used for a
comparison with a function. Reads no rows of other slots, however many there are."""


async def read(connection: Any, checks: Sequence[EndedCheck]) -> WatchedRuns:
    """See `ShardStore.ended`, in the transaction of the caller."""
    asked = sorted((*of, first) for of, first in first_ends(checks).items())
    columns = map(list, zip(*asked, strict=True))
    rows = await connection.fetch(RUNS, *columns, ENDED_OF_CONTACT)
    runs: dict[tuple[str, str, str], list[WatchedRun]] = {}
    for tenant, contact, workflow, *run in rows:
        runs.setdefault((tenant, contact, workflow), []).append(WatchedRun(*run))
    events = zip(*(check[:4] for check in checks), strict=True)
    counted = await connection.fetch(COUNTED, *map(list, events))
    return WatchedRuns(runs, {checks[place - 1] for (place,) in counted})


async def ends(
    connection: Any, tenant: str, before: Mapping[int, EndPosition], first: int, limit: int
) -> list[RunEnd]:
    """See `ShardStore.ends`, in the transaction of the caller."""
    await connection.execute(IN_ORDER)
    times, ids = map(list, zip(*before.values(), strict=True))
    rows = await connection.fetch(ENDS, tenant, list(before), times, ids, first, limit)
    return [RunEnd(slot, EndPosition(at, id_), contact) for slot, at, id_, contact in rows]
