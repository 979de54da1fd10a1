"""Events that paused workflows miss (E19), over the tables in memory. Nothing expires."""

from collections.abc import Sequence

from goald.adapters.memory.database import MemoryDatabase, StoredMissed
from goald.domain.slots import SlotRange
from goald.ports.change import Change
from goald.ports.configuration import WorkflowKey
from goald.ports.shard_store import MissedEntry, MissedPage, MissedPosition


def drop_and_keep(tables: MemoryDatabase, change: Change, most_bytes: int) -> list[str]:
    """Remove the missed events of a change that were judged, and keep those that are the first of
    enrollments that are active after it, unless those of their tenant take `most_bytes`. Returns
    `Committed.missed_dropped`."""
    for key in change.judged_runs:
        tables.missed.pop(key, None)
    dropped = []
    full = {
        event.tenant_id
        for event in change.missed_events
        if _bytes(tables, event.tenant_id) >= most_bytes
    }
    for run in change.missed_runs:
        event = change.missed_events[run.number]
        if event.tenant_id in full:
            dropped.append(event.tenant_id)
            continue
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
    return dropped


def _bytes(tables: MemoryDatabase, tenant: str) -> int:
    """The bytes of the missed events of a tenant, each counted once."""
    events = {
        (tables.enrollments[key].contact_id, row.event): len(row.payload)
        for key, row in tables.missed.items()
        if key[0] == tenant
    }
    return sum(events.values())


def of_workflows(
    tables: MemoryDatabase, slots: SlotRange, workflows: Sequence[WorkflowKey]
) -> list[WorkflowKey]:
    """See `ShardStore.missed_workflows`."""
    return [
        workflow
        for workflow in workflows
        if any(_is_of(row, key, slots, workflow) for key, row in tables.missed.items())
    ]


def read(
    tables: MemoryDatabase,
    slots: SlotRange,
    workflow: WorkflowKey,
    after: MissedPosition,
    limit: int,
    most_bytes: int,
) -> MissedPage:
    """See `ShardStore.missed`."""
    rows = _next(tables, slots, workflow, after)
    sizes: dict[tuple[str, str], int] = {}
    entries: list[MissedEntry] = []
    end = after
    for position, contact, row in rows[:limit]:
        event = contact, row.event
        sizes.setdefault(event, len(row.payload))
        if len(sizes) > 1 and sum(sizes.values()) > most_bytes:
            break
        stored = row.event, row.entry_id, row.payload, row.old_tags
        entries.append(MissedEntry(workflow.tenant_id, position.enrollment_id, *stored))
        end = position
    is_last = len(entries) == len(rows) < limit
    return MissedPage(entries, None if is_last else end)


def forget(
    tables: MemoryDatabase,
    slots: SlotRange,
    workflow: WorkflowKey,
    after: MissedPosition,
    limit: int,
) -> MissedPosition | None:
    """See `ShardStore.forget_missed`."""
    rows = _next(tables, slots, workflow, after)
    for position, *_ in rows[:limit]:
        del tables.missed[workflow.tenant_id, position.enrollment_id]
    return None if len(rows) < limit else rows[limit - 1][0]


def _next(
    tables: MemoryDatabase, slots: SlotRange, workflow: WorkflowKey, after: MissedPosition
) -> list[tuple[MissedPosition, str, StoredMissed]]:
    """The enrollments of a workflow after a position, with their contacts, in order."""
    found = []
    for key, row in tables.missed.items():
        position = MissedPosition(row.slot, key[1])
        enrollment = tables.enrollments[key]
        if (
            _is_of(row, key, slots, workflow)
            and position > after
            and not tables.is_moving(enrollment)
        ):
            found.append((position, enrollment.contact_id, row))
    return sorted(found, key=lambda each: each[0])


def _is_of(
    row: StoredMissed, key: tuple[str, str], slots: SlotRange, workflow: WorkflowKey
) -> bool:
    return (key[0], row.workflow_id) == workflow and slots.first <= row.slot <= slots.last
