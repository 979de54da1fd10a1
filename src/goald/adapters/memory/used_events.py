"""Used events (E11), over the tables in memory."""

from goald.adapters.memory.database import MemoryDatabase, StoredUse, began_at
from goald.ports.change import EXCLUDES, Change
from goald.ports.shard_store import EventCheck


def use(tables: MemoryDatabase, change: Change, effective: bytearray) -> None:
    """Store the used events of a change whose effects are written. Marks the effects whose
    enrollments exclude events, because these had counted before."""
    of = change.effects
    before = {i: len(tables.used_events.get(_runs(change, i), {})) for i in _started(change)}
    base = tables.last_number
    for i, event, received_at in change.used_events:
        if effective[i]:
            uses = tables.used_events.setdefault(_runs(change, i), {})
            began = began_at(tables.enrollments[of.tenant_id[i], of.enrollment_id[i]])
            row = uses.setdefault(event, StoredUse(tables.next_number(), began, received_at))
            row.enrolled_at = max(row.enrolled_at, began)
    for i in _started(change):
        after = of.after_event[i]
        row_after = tables.used_events.get(_runs(change, i), {}).get(after or "")
        if effective[i] and (row_after is not None or before[i]):
            number = base if row_after is None else max(base, row_after.number)
            tables.enrollments[of.tenant_id[i], of.enrollment_id[i]].used_before = number
            effective[i] |= EXCLUDES


def excludes(tables: MemoryDatabase, check: EventCheck) -> bool:
    """See `ShardStore.excluded`."""
    tenant, contact, workflow, enrollment, event, received_at, next_merge = check
    row = tables.enrollments.get((tenant, enrollment))
    if row is not None and row.started_by == event:
        return True
    if row is not None:
        following = [merge for merge in row.merges if merge > received_at]
        if next_merge != min(following, default=0):
            return True
    found = tables.used_events.get((tenant, contact, workflow), {}).get(event)
    if found is None:
        return False
    if row is None:
        return True
    if others := {*row.merges} - {*found.merges}:  # it counted for another contact
        return found.received_at < max(others)
    return row.used_before is not None and found.number <= row.used_before


def erase_uses(tables: MemoryDatabase, tenant: str, contact: str, at: int) -> None:
    """Remove the used events of a contact that was deleted, after its enrollments are erased. Keeps
    those that an active enrollment of a later contact under the same id excludes."""
    active = [
        row
        for row in tables.enrollments.values()
        if (row.tenant_id, row.contact_id, row.status) == (tenant, contact, "active")
    ]
    for (of_tenant, of_contact, workflow), uses in tables.used_events.items():
        if (of_tenant, of_contact) == (tenant, contact):
            needed = max((row.used_before or 0 for row in active if row.workflow_id == workflow),
                         default=0)  # fmt: skip
            for event, row in list(uses.items()):
                if row.enrolled_at <= at and row.number > needed:
                    del uses[event]


def _started(change: Change) -> list[int]:
    of = change.effects
    return [i for i, new in enumerate(of.is_new) if new and of.status[i] == "active"]


def _runs(change: Change, i: int) -> tuple[str, str, str]:
    of = change.effects
    return of.tenant_id[i], of.contact_id[i], of.workflow_id[i]
