"""Events that paused workflows miss: kept with the commits of a shard, and read when they are
active (E19)."""

from collections.abc import Sequence
from typing import Any

from goald.ports.change import Change
from goald.ports.shard_store import MissedEntry

KEEP_DAYS = 30

INSERT = """
WITH kept AS (
    INSERT INTO goald.missed_runs
        (tenant_id, enrollment_id, workflow_id, contact_id, event, slot)
    SELECT n.tenant_id, n.enrollment_id, n.workflow_id, n.contact_id, n.event::uuid, n.slot
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int2[])
        AS n (tenant_id, enrollment_id, workflow_id, contact_id, event, slot)
    JOIN goald.workflow_enrollments e
        ON e.tenant_id = n.tenant_id AND e.id = n.enrollment_id AND e.contact_id = n.contact_id
        AND e.workflow_id = n.workflow_id AND (e.status = 'active') IS TRUE
    ON CONFLICT (tenant_id, enrollment_id) DO NOTHING
    RETURNING tenant_id, contact_id, event
)
INSERT INTO goald.missed_events
    (tenant_id, contact_id, event, slot, entry_id, payload, old_tags)
SELECT n.tenant_id, n.contact_id, n.event::uuid, n.slot, n.entry_id, n.payload,
       n.old_tags::integer[]
FROM unnest($7::text[], $8::text[], $9::text[], $10::int2[], $11::text[], $12::bytea[], $13::text[])
    AS n (tenant_id, contact_id, event, slot, entry_id, payload, old_tags)
WHERE EXISTS (
    SELECT FROM kept k
    WHERE k.tenant_id = n.tenant_id AND k.contact_id = n.contact_id AND k.event = n.event::uuid)
ON CONFLICT (tenant_id, contact_id, event) DO NOTHING
"""
"""Keeps the first missed event of each enrollment that is active, and each event once."""

_DELETE = """
WITH removed AS (
    DELETE FROM goald.missed_runs r USING {which}
    RETURNING r.tenant_id, r.enrollment_id, r.contact_id, r.event
)
DELETE FROM goald.missed_events m USING removed d
WHERE m.tenant_id = d.tenant_id AND m.contact_id = d.contact_id AND m.event = d.event
  AND NOT EXISTS (
    SELECT FROM goald.missed_runs o
    WHERE o.tenant_id = m.tenant_id AND o.contact_id = m.contact_id AND o.event = m.event
      AND NOT EXISTS (SELECT FROM removed same
                      WHERE same.tenant_id = o.tenant_id
                        AND same.enrollment_id = o.enrollment_id))
"""

DROP = _DELETE.format(
    which="""unnest($1::text[], $2::text[]) AS n (tenant_id, enrollment_id)
    WHERE r.tenant_id = n.tenant_id AND r.enrollment_id = n.enrollment_id"""
)
"""Removes the missed events of these enrollments, and those events that no other one missed."""

_ACTIVATED = """
goald.workflows w
    ON w.tenant_id = r.tenant_id AND w.id = r.workflow_id AND w.is_active
    AND w.config_version > $1 AND w.config_version <= $2
"""
"""The active workflows that changed between two configuration versions."""

_STAYS = """NOT EXISTS (
    SELECT FROM goald.transfers t
    WHERE t.tenant_id = r.tenant_id AND t.contact_id = r.contact_id)
"""
"""The enrollments of a merged contact belong to no shard until they have moved (E21)."""

FORGET = _DELETE.format(
    which=f"""goald.missed_runs o JOIN {_ACTIVATED.replace("r.", "o.")} AND NOT w.exits_missed
    WHERE r.tenant_id = o.tenant_id AND r.enrollment_id = o.enrollment_id AND {_STAYS}"""
)
"""Removes the missed events of these workflows, unless they exit their enrollments."""

READ = f"""
SELECT r.tenant_id, r.enrollment_id, r.event::text, m.entry_id, m.payload, m.old_tags
FROM goald.missed_runs r
JOIN {_ACTIVATED} AND w.exits_missed
JOIN goald.missed_events m
    ON m.tenant_id = r.tenant_id AND m.contact_id = r.contact_id AND m.event = r.event
WHERE {_STAYS}
  AND r.missed_at > now() - interval '{KEEP_DAYS} days'
ORDER BY r.missed_at, r.tenant_id, r.enrollment_id
LIMIT $3
"""
"""What these workflows missed and exit, the oldest first."""


async def keep(connection: Any, change: Change) -> None:
    """Write the missed events of a change, after its enrollments, in the same transaction."""
    events = change.missed_events
    runs = [(events[run.number], run) for run in change.missed_runs]
    await connection.execute(
        INSERT,
        [event.tenant_id for event, _ in runs],
        [run.enrollment_id for _, run in runs],
        [run.workflow_id for _, run in runs],
        [event.contact_id for event, _ in runs],
        [event.event for event, _ in runs],
        [event.slot for event, _ in runs],
        [event.tenant_id for event in events],
        [event.contact_id for event in events],
        [event.event for event in events],
        [event.slot for event in events],
        [event.entry_id for event in events],
        [event.payload for event in events],
        [f"{{{','.join(map(str, event.old_tags))}}}" for event in events],
    )


async def drop(connection: Any, runs: Sequence[tuple[str, str]]) -> None:
    """Remove the missed events of these (tenant, enrollment) pairs."""
    tenants, enrollments = zip(*runs, strict=True)
    await connection.execute(DROP, tenants, enrollments)


async def read(connection: Any, after: int, version: int, limit: int) -> list[MissedEntry]:
    """See `ShardStore.missed`, in the transaction of the caller."""
    await connection.execute(FORGET, after, version)
    return [MissedEntry(*row) for row in await connection.fetch(READ, after, version, limit)]
