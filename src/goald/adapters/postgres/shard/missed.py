"""Events that paused workflows miss: kept with the commits of a shard, and read or removed in pages
when their workflow is active (E19)."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from goald.ports.change import Change, MissedEvent
from goald.ports.configuration import WorkflowKey
from goald.ports.shard_store import MissedEntry, MissedPage, MissedPosition

KEEP_DAYS: Final = 30

FULL = """
SELECT tenant_id FROM goald.missed_usage WHERE tenant_id = ANY ($1::text[])
GROUP BY tenant_id HAVING sum(bytes) >= $2
"""
"""Those of these tenants whose missed events, in all slots, take this many bytes. The events of
commits in flight do not count yet."""

INSERT_RUNS = f"""
INSERT INTO goald.missed_runs
    (tenant_id, enrollment_id, workflow_id, contact_id, event, slot)
SELECT n.tenant_id, n.enrollment_id, n.workflow_id, n.contact_id, n.event::uuid, n.slot
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int2[])
    AS n (tenant_id, enrollment_id, workflow_id, contact_id, event, slot)
JOIN goald.workflow_enrollments e
    ON e.tenant_id = n.tenant_id AND e.id = n.enrollment_id AND e.contact_id = n.contact_id
    AND e.workflow_id = n.workflow_id AND (e.status = 'active') IS TRUE
ON CONFLICT (tenant_id, enrollment_id) DO UPDATE
SET workflow_id = excluded.workflow_id, contact_id = excluded.contact_id, event = excluded.event,
    slot = excluded.slot, missed_at = now()
WHERE missed_runs.missed_at <= now() - interval '{KEEP_DAYS} days'
RETURNING tenant_id, contact_id, event::text
"""
"""Keeps the first missed event of each enrollment that is active, within the last 30 days."""

INSERT_EVENTS = """
INSERT INTO goald.missed_events
    (tenant_id, contact_id, event, slot, entry_id, payload, old_tags)
SELECT n.tenant_id, n.contact_id, n.event::uuid, n.slot, n.entry_id, n.payload,
       n.old_tags::integer[]
FROM unnest($1::text[], $2::text[], $3::text[], $4::int2[], $5::text[], $6::bytea[], $7::text[])
    AS n (tenant_id, contact_id, event, slot, entry_id, payload, old_tags)
ON CONFLICT (tenant_id, contact_id, event) DO UPDATE SET missed_at = excluded.missed_at
"""
"""Keeps each event once, for as long as the last enrollment that missed it."""

DROP_RUNS = """
DELETE FROM goald.missed_runs r
USING unnest($1::text[], $2::text[]) AS n (tenant_id, enrollment_id)
WHERE r.tenant_id = n.tenant_id AND r.enrollment_id = n.enrollment_id
RETURNING r.tenant_id, r.contact_id, r.event::text
"""

DROP_EVENTS = """
DELETE FROM goald.missed_events m
USING unnest($1::text[], $2::text[], $3::text[]) AS n (tenant_id, contact_id, event)
WHERE m.tenant_id = n.tenant_id AND m.contact_id = n.contact_id AND m.event = n.event::uuid
  AND NOT EXISTS (
    SELECT FROM goald.missed_runs r
    WHERE r.tenant_id = m.tenant_id AND r.contact_id = m.contact_id AND r.event = m.event)
"""
"""Removes these events if no enrollment is left that missed them. Execute it after DROP_RUNS, in a
separate statement: its snapshot has the enrollments that are left, so an index finds them."""

WORKFLOWS = """
SELECT n.tenant_id, n.workflow_id
FROM unnest($1::text[], $2::text[]) AS n (tenant_id, workflow_id)
CROSS JOIN LATERAL (
    SELECT FROM goald.missed_runs r
    WHERE r.tenant_id = n.tenant_id AND r.workflow_id = n.workflow_id
    LIMIT 1) AS missed
"""
"""Those of these workflows that missed events. Reads one row of each."""

_RUNS = """
FROM goald.missed_runs r
WHERE r.tenant_id = $1 AND r.workflow_id = $2 AND (r.slot, r.enrollment_id) > ($3, $4)
  AND NOT EXISTS (
    SELECT FROM goald.transfers t
    WHERE t.tenant_id = r.tenant_id AND t.contact_id = r.contact_id
      AND t.created_at >= r.missed_at) {where}
ORDER BY r.slot, r.enrollment_id LIMIT $5
"""
"""The next enrollments of a workflow, after a position in the index of pages, so that no page reads
removed rows of earlier pages. The enrollments of a merged contact belong to no shard until they
have moved (E21)."""

_OF_LAST_DAYS = f"AND r.missed_at > now() - interval '{KEEP_DAYS} days'"
PAGE = """
SELECT r.slot, r.enrollment_id, r.contact_id, r.event::text, (
    SELECT octet_length(m.payload) FROM goald.missed_events m
    WHERE m.tenant_id = r.tenant_id AND m.contact_id = r.contact_id AND m.event = r.event)
""" + _RUNS.format(where=_OF_LAST_DAYS)
"""The next enrollments that a workflow exits, with the sizes of their events. The plan of a join
could read all events first."""

FORGOTTEN = "SELECT r.slot, r.enrollment_id" + _RUNS.format(where="")

EVENTS = """
SELECT m.contact_id, m.event::text, m.entry_id, m.payload, m.old_tags
FROM unnest($2::text[], $3::text[]) AS n (contact_id, event)
JOIN goald.missed_events m
    ON m.tenant_id = $1 AND m.contact_id = n.contact_id AND m.event = n.event::uuid
"""


async def keep(connection: Any, change: Change, most_bytes: int) -> list[str]:
    """Write the missed events of a change, after its enrollments, in the same transaction. Those of
    tenants whose events take `most_bytes` are not kept; see `Committed.missed_dropped`."""
    tenants = sorted({event.tenant_id for event in change.missed_events})
    full = {tenant for (tenant,) in await connection.fetch(FULL, tenants, most_bytes)}
    missed = [(change.missed_events[run.number], run) for run in change.missed_runs]
    runs = [each for each in missed if each[0].tenant_id not in full]
    kept = await connection.fetch(
        INSERT_RUNS,
        [event.tenant_id for event, _ in runs],
        [run.enrollment_id for _, run in runs],
        [run.workflow_id for _, run in runs],
        [event.contact_id for event, _ in runs],
        [event.event for event, _ in runs],
        [event.slot for event, _ in runs],
    )
    if kept:
        await _keep_events(connection, change.missed_events, {tuple(row) for row in kept})
    return [event.tenant_id for event, _ in missed if event.tenant_id in full]


async def _keep_events(
    connection: Any, events: Iterable[MissedEvent], kept: Collection[tuple[str, ...]]
) -> None:
    keyed = {(event.tenant_id, event.contact_id, event.event): event for event in events}
    needed = [event for key, event in keyed.items() if key in kept]
    await connection.execute(
        INSERT_EVENTS,
        [event.tenant_id for event in needed],
        [event.contact_id for event in needed],
        [event.event for event in needed],
        [event.slot for event in needed],
        [event.entry_id for event in needed],
        [event.payload for event in needed],
        [f"{{{','.join(map(str, event.old_tags))}}}" for event in needed],
    )


async def drop(connection: Any, runs: Sequence[tuple[str, str]]) -> None:
    """Remove the missed events of these (tenant, enrollment) pairs, and those events that no other
    enrollment missed."""
    removed = await connection.fetch(DROP_RUNS, *zip(*runs, strict=True))
    if removed:
        events = sorted({tuple(row) for row in removed})
        await connection.execute(DROP_EVENTS, *zip(*events, strict=True))


async def of_workflows(connection: Any, workflows: Sequence[WorkflowKey]) -> list[WorkflowKey]:
    """See `ShardStore.missed_workflows`, in the transaction of the caller."""
    rows = await connection.fetch(WORKFLOWS, *zip(*workflows, strict=True))
    return [WorkflowKey(*row) for row in rows]


async def read(
    connection: Any, workflow: WorkflowKey, after: MissedPosition, limit: int, most_bytes: int
) -> MissedPage:
    """See `ShardStore.missed`, in the transaction of the caller."""
    rows = await connection.fetch(PAGE, *workflow, *after, limit)
    total, read_events, taken = 0, set[tuple[str, str]](), []
    for slot, enrollment, contact, event, size in rows:
        if (contact, event) not in read_events:
            total += size or 0
            if read_events and total > most_bytes:
                break
            read_events.add((contact, event))
        taken.append((slot, enrollment, contact, event))
    if not taken:
        return MissedPage([], None)
    contacts, keys = zip(*read_events, strict=True)
    stored = await connection.fetch(EVENTS, workflow.tenant_id, contacts, keys)
    events = {(contact, event): rest for contact, event, *rest in stored}
    entries = [
        MissedEntry(workflow.tenant_id, enrollment, event, *events[contact, event])
        for _, enrollment, contact, event in taken
        if (contact, event) in events  # not erased meanwhile
    ]
    is_last = len(taken) == len(rows) < limit
    return MissedPage(entries, None if is_last else MissedPosition(*taken[-1][:2]))


async def forget(
    connection: Any, workflow: WorkflowKey, after: MissedPosition, limit: int
) -> MissedPosition | None:
    """See `ShardStore.forget_missed`, in the transaction of the caller."""
    rows = await connection.fetch(FORGOTTEN, *workflow, *after, limit)
    if rows:
        await drop(connection, [(workflow.tenant_id, enrollment) for _, enrollment in rows])
    return None if len(rows) < limit else MissedPosition(*rows[-1])
