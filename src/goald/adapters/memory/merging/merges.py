"""Merged contacts (E21), over the tables in memory."""

from collections import Counter
from collections.abc import Collection, Sequence

from goald.adapters.memory.database import MemoryDatabase, StoredForward, StoredTransfer, began_at
from goald.adapters.memory.executions import commit as executions
from goald.domain.contacts.continuing import continue_contact
from goald.domain.contacts.forwards import (
    ALREADY_MERGED,
    CYCLE,
    ENDLESS,
    Forward,
    forward_key,
    join_merges,
)
from goald.domain.contacts.stored import columns_of, contact_of
from goald.domain.errors import ContentRefused
from goald.domain.ids import ContactId, TenantId
from goald.domain.records.erasure import Tombstone
from goald.domain.slots import SlotRange, slot_of
from goald.ports.change import Change, ContactMerge, MergeOutcome
from goald.ports.shard_store import PassedOn, RenameContact, Transfer

KEY_OF_FORWARDS = "memory"
RETRY_SECONDS = 300.0


def begin(tables: MemoryDatabase, change: Change, now: float) -> list[MergeOutcome]:
    """Write the merges of a change, after everything else. `now`: by the monotonic clock."""
    return [_begin(tables, merge, now) for merge in change.merges]


def _begin(tables: MemoryDatabase, merge: ContactMerge, now: float) -> MergeOutcome:
    tenant, contact = merge.tenant_id, merge.contact_id
    key = forward_key(KEY_OF_FORWARDS, tenant, contact)
    known = tables.forwards.get((tenant, key))
    target, merges = follow(tables, tenant, merge.into_contact_id, (merge.received_at,))
    if known is not None and known.target is not None:
        if end_of(tables, tenant, known.target) == target:
            return MergeOutcome(Forward(tenant, key, known.target, known.merges))
        return MergeOutcome(refused=ALREADY_MERGED)
    if target == contact:
        return MergeOutcome(refused=CYCLE)
    time = min(merge.merged_at, merge.received_at)
    deleted = tables.deleted.get((tenant, contact))
    is_past = known is not None and (merge.event in known.events or time <= (known.deleted_at or 0))
    if is_past or (deleted is not None and deleted.covers(time)):
        return MergeOutcome()
    survivor = tables.deleted.get((tenant, target))
    ends = survivor is not None and survivor.covers(time)
    forward = Forward(tenant, key, None if ends else target, merges)
    deleted_at = survivor.deleted_at if survivor is not None and ends else None
    for each in forwards_to(tables, tenant, contact):
        each.target, each.number = forward.target, tables.next_number()
        each.merged_at, each.deleted_at = max(each.merged_at, time), deleted_at
        each.merges = join_merges(each.merges, merges)
    events = [*(known.events if known is not None else ()), merge.event]
    number = tables.next_number()
    tables.forwards[tenant, key] = StoredForward(
        merge.slot, forward.target, time, number, events, deleted_at, contact, merges
    )
    for transfer in tables.transfers.values():
        if (transfer.tenant_id, transfer.into_contact_id) == (tenant, contact):
            transfer.into_contact_id = target
            transfer.merges = join_merges(transfer.merges, merges)
    number = tables.next_number()
    tables.transfers[str(number)] = StoredTransfer(
        tenant,
        contact,
        target,
        time,
        merges,
        tables.contacts.pop((tenant, contact), None),
        number,
        now,
    )
    return MergeOutcome(forward)


def end_of(tables: MemoryDatabase, tenant: str, contact: str) -> str:
    """The contact that continues this one. Raises ContentRefused if the forwards have no end."""
    return follow(tables, tenant, contact, ())[0]


def follow(
    tables: MemoryDatabase, tenant: str, contact: str, merges: tuple[int, ...]
) -> tuple[str, tuple[int, ...]]:
    """As `end_of`, with these merges and those that led there."""
    followed: set[str] = set()
    while contact not in followed:
        followed.add(contact)
        forward = tables.forwards.get((tenant, forward_key(KEY_OF_FORWARDS, tenant, contact)))
        if forward is None or forward.target is None:
            return contact, merges
        contact, merges = forward.target, join_merges(merges, forward.merges)
    raise ContentRefused(ENDLESS)


def forwards_to(tables: MemoryDatabase, tenant: str, contact: str) -> list[StoredForward]:
    """The forwards to a contact."""
    return [
        each for (of, _), each in tables.forwards.items() if (of, each.target) == (tenant, contact)
    ]


def end_forwards(tables: MemoryDatabase, tenant: str, contact: str, deleted_at: int) -> None:
    """The contacts that were merged into a deleted one begin a new life."""
    for each in forwards_to(tables, tenant, contact):
        if each.merged_at <= deleted_at:
            each.target, each.number, each.deleted_at = None, tables.next_number(), deleted_at


def ended(tables: MemoryDatabase, contacts: Collection[PassedOn]) -> set[PassedOn]:
    """See `ShardStore.ended_forwards`."""
    return {
        each
        for each in contacts
        if (end := end_of(tables, each.tenant_id, each.contact_id)) == each.contact_id
        or end != end_of(tables, each.tenant_id, each.into_contact_id)
    }


def changed(tables: MemoryDatabase, slots: SlotRange, after: int) -> tuple[Sequence[Forward], int]:
    """See `ShardStore.forwards`."""
    for (tenant, _), each in tables.forwards.items():
        if each.deleted_at is not None and slots.first <= each.slot <= slots.last:
            known = tables.deleted.get((tenant, each.contact_id), Tombstone(each.deleted_at, None))
            tables.deleted[tenant, each.contact_id] = Tombstone(
                max(known.deleted_at, each.deleted_at), known.pseudonym
            )
    rows = [
        (Forward(tenant, key, each.target, each.merges), each.number)
        for (tenant, key), each in tables.forwards.items()
        if each.number > after and slots.first <= each.slot <= slots.last
    ]
    return [forward for forward, _ in rows], max([after, *(number for _, number in rows)])


def due(tables: MemoryDatabase, slots: SlotRange, now: float) -> list[Transfer]:
    """See `ShardStore.transfers`. Returns all of them."""
    found = [
        Transfer(id_, TenantId(row.tenant_id), ContactId(row.contact_id), ContactId(into))
        for id_, row in tables.transfers.items()
        if slots.first <= slot_of(row.tenant_id, into := row.into_contact_id) <= slots.last
        and (row.retry_at is None or row.retry_at <= now)
    ]
    earlier = Counter[TenantId]()
    turns: list[tuple[int, int, Transfer]] = []
    for transfer in found:
        turns.append((earlier[transfer.tenant_id], len(turns), transfer))
        earlier[transfer.tenant_id] += 1
    return [transfer for *_, transfer in sorted(turns)]


def refuse(tables: MemoryDatabase, id_: str, reason: str, now: float) -> None:
    """See `ShardStore.refuse`."""
    row = tables.transfers[id_]
    row.reason, row.retry_at = reason, now + RETRY_SECONDS
    row.refused_at = now if row.refused_at is None else row.refused_at


def adopt(tables: MemoryDatabase, id_: str, rename: RenameContact) -> None:
    """See `ShardStore.adopt`. Moves everything in one call."""
    transfer = tables.transfers.get(id_)
    if transfer is None:
        return
    if transfer.into_contact_id in tables.refused_contacts:
        raise ContentRefused("Postgres refuses it: 23514: a contact that is refused")
    tenant, contact, into = transfer.tenant_id, transfer.contact_id, transfer.into_contact_id
    earlier = _earlier(tables, transfer)
    since = max((each.created for each in earlier), default=-1)
    rows = [
        row
        for row in tables.enrollments.values()
        if (row.tenant_id, row.contact_id) == (tenant, contact)
        and since < row.created <= transfer.created
    ]
    payloads = {
        row.id: rename(missed.payload, into)
        for row in rows
        if (missed := tables.missed.get((tenant, row.id))) is not None
    }
    del tables.transfers[id_]
    deleted = tables.deleted.get((tenant, into))
    is_deleted = deleted is not None and deleted.covers(transfer.merged_at)
    for row in rows:
        row.contact_id, row.slot = into, slot_of(tenant, into)
        if row.id in payloads:
            missed = tables.missed[tenant, row.id]
            missed.slot, missed.payload = row.slot, payloads[row.id]
        row.received_at = max(began_at(row), transfer.merged_at)
        if is_deleted and deleted is not None and deleted.covers(began_at(row)):
            if row.status == "active":
                row.status, row.ended_at = "cancelled", max(row.enrolled_at, deleted.deleted_at)
                tables.missed.pop((tenant, row.id), None)
                executions.erase(tables, tenant, into, deleted.deleted_at, {row.id})
            row.contact_id = deleted.pseudonym or row.contact_id
            row.match_values = None
            for achievement in tables.achievements:
                if achievement.enrollment is row:
                    achievement.trigger_event = achievement.metadata = "{}"
        row.merges = join_merges(row.merges, transfer.merges)
    deleted_at = deleted.deleted_at if deleted is not None and is_deleted else None
    _move_uses(tables, transfer, since, is_deleted=is_deleted)
    entered_after = max((each.merged_at for each in earlier), default=None)
    executions.move_entries(tables, (tenant, contact, into), deleted_at, entered_after)
    if transfer.contact is not None:
        merged = contact_of(transfer.contact)
        if deleted_at is not None and merged.erase(deleted_at):
            return
        known = tables.contacts.get((tenant, into))
        merged = continue_contact(None if known is None else contact_of(known), merged)
        if deleted_at is None or not merged.erase(deleted_at):
            tables.contacts[tenant, into] = columns_of(merged)


def _earlier(tables: MemoryDatabase, transfer: StoredTransfer) -> list[StoredTransfer]:
    """The transfers of earlier lives of the same contact that have not finished."""
    of = transfer.tenant_id, transfer.contact_id
    return [
        each
        for each in tables.transfers.values()
        if (each.tenant_id, each.contact_id) == of and each.created < transfer.created
    ]


def _move_uses(
    tables: MemoryDatabase, transfer: StoredTransfer, since: int, *, is_deleted: bool
) -> None:
    """Move used events after the number `since`, or remove them if the other contact was deleted
    since the merge."""
    tenant, contact, into = transfer.tenant_id, transfer.contact_id, transfer.into_contact_id
    for key in [key for key in tables.used_events if key[:2] == (tenant, contact)]:
        uses_before = tables.used_events[key].items()
        moved = {event: use for event, use in uses_before if since < use.number <= transfer.created}
        for event in moved:
            del tables.used_events[key][event]
        uses_of = tables.used_events.setdefault((tenant, into, key[2]), {})
        for event, use in () if is_deleted else moved.items():
            use.merges = join_merges(use.merges, transfer.merges)
            use.enrolled_at = max(use.enrolled_at, transfer.merged_at)
            other = uses_of.setdefault(event, use)
            other.enrolled_at = max(other.enrolled_at, use.enrolled_at)
            other.number = min(other.number, use.number)
