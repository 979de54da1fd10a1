"""Events that paused workflows miss (E19), over the tables in memory. Nothing expires."""

from goald.adapters.memory.database import MemoryDatabase, StoredMissed
from goald.domain.slots import SlotRange
from goald.ports.change import Change
from goald.ports.shard_store import MissedEntry


def drop_and_keep(tables: MemoryDatabase, change: Change) -> None:
    """Remove the missed events of a change that were judged, and keep those that are the first of
    enrollments that are active after it."""
    for key in change.judged_runs:
        tables.missed.pop(key, None)
    for run in change.missed_runs:
        event = change.missed_events[run.number]
        row = tables.enrollments.get((event.tenant_id, run.enrollment_id))
        if (
            row is not None
            and (row.contact_id, row.workflow_id) == (event.contact_id, run.workflow_id)
            and row.status == "active"
        ):
            missed = StoredMissed(
                run.workflow_id, event.slot, event.event, event.entry_id, event.payload,
                event.old_tags,
            )  # fmt: skip
            tables.missed.setdefault((event.tenant_id, run.enrollment_id), missed)


def read(
    tables: MemoryDatabase, slots: SlotRange, after: int, version: int, limit: int
) -> list[MissedEntry]:
    """See `ShardStore.missed`."""
    current = {(w["tenant_id"], w["workflow_id"]): (v, w) for v, w in sorted(
        tables.workflows, key=lambda row: row[0])}  # fmt: skip
    exits = {
        key: workflow.get("exits_missed", False)
        for key, (changed, workflow) in current.items()
        if workflow["is_active"] and after < changed <= version
    }
    found = []
    moving = {(each.tenant_id, each.contact_id) for each in tables.transfers.values()}
    for (tenant, enrollment), row in list(tables.missed.items()):
        if (tenant, tables.enrollments[tenant, enrollment].contact_id) in moving:
            continue
        if (tenant, row.workflow_id) not in exits or not slots.first <= row.slot <= slots.last:
            continue
        if exits[tenant, row.workflow_id]:
            event = row.event, row.entry_id, row.payload, row.old_tags
            found.append(MissedEntry(tenant, enrollment, *event))
        else:
            del tables.missed[tenant, enrollment]
    return found[:limit]
