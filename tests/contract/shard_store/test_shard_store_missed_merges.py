"""The contract of events that runs of merged contacts missed (E19, E21)."""

from collections.abc import Sequence
from dataclasses import replace

from tests.contract.store_backends import Tables
from tests.support.pipeline.changes import NOON, SECOND, Effect, change, goal_id

from goald import _native
from goald.domain.leases import SlotLease
from goald.domain.slots import SlotRange, slot_of
from goald.ports.change import Change, ContactMerge, MissedEvent, MissedRun
from goald.ports.configuration import WorkflowKey
from goald.ports.shard_store import FIRST_MISSED, MissedEntry, ShardStore

ANN, BEA = slot_of("acme", "ann"), slot_of("acme", "bea")


def missing(event: str, *enrollments: str, contact: str = "ann") -> Change:
    """These enrollments of a contact miss an event."""
    payload = b'{"tenantid":"acme","data":{"contact_id":"%s"}}' % contact.encode()
    slot = slot_of("acme", contact)
    row = MissedEvent("acme", contact, slot, goal_id(event), f"{NOON}-0", payload)
    runs = [MissedRun(0, "w-1", enrollment) for enrollment in enrollments]
    return replace(change(), missed_events=[row], missed_runs=runs)


def merge(at: int = NOON + SECOND) -> ContactMerge:
    """Ann continues as bea."""
    return ContactMerge("acme", "ann", ANN, "bea", goal_id(f"merge-{at}"), at, at)


async def missed(store: ShardStore, lease: SlotLease) -> Sequence[MissedEntry]:
    page = await store.missed(lease, WorkflowKey("acme", "w-1"), FIRST_MISSED, 99, 1 << 20)
    return page.entries


async def adopt(store: ShardStore, lease: SlotLease) -> None:
    for transfer in await store.transfers(lease):
        while await store.adopt(lease, transfer, _native.with_contact):
            pass


async def begin(store: ShardStore) -> SlotLease:
    """Ann's run has missed an event, and is to move to bea."""
    lease = await store.acquire(SlotRange(0, 255), "a")
    await store.commit(lease, change(Effect("e-1", slot=ANN)))
    await store.commit(lease, missing("pay-1", "e-1"))
    await store.commit(lease, change(merges=[merge()]))
    return lease


async def test_deletion_of_the_contact_that_continues_removes_what_the_moved_runs_missed(
    tables: Tables, store: ShardStore
) -> None:
    lease = await begin(store)
    await store.commit(lease, change(deletions=[("acme", "bea", BEA, NOON + 2 * SECOND)]))
    await adopt(store, lease)
    await tables.erase_rows()
    assert await missed(store, lease) == []
    assert await tables.missed_events() == 0


async def test_deletion_of_the_merged_contact_leaves_what_the_moved_runs_missed(
    tables: Tables, store: ShardStore
) -> None:
    lease = await begin(store)
    await store.commit(lease, change(deletions=[("acme", "ann", ANN, NOON + 2 * SECOND)]))
    await tables.erase_rows()
    await adopt(store, lease)
    await tables.erase_rows()
    (entry,) = await missed(store, lease)
    assert (entry.enrollment_id, entry.event) == ("e-1", goal_id("pay-1"))
    assert _native.contact_of(entry.payload) == ("acme", "bea")


async def test_missed_event_of_a_new_life_stays_with_its_run(
    tables: Tables, store: ShardStore
) -> None:
    """Ann begins it when bea is deleted, also if the runs of her first life have not moved yet."""
    lease = await begin(store)
    await store.commit(lease, change(deletions=[("acme", "bea", BEA, NOON + 2 * SECOND)]))
    later = NOON + 3 * SECOND
    await store.commit(lease, change(Effect("e-9", slot=ANN, enrolled_at=later)))
    await store.commit(lease, missing("pay-9", "e-9"))
    await adopt(store, lease)
    await tables.erase_rows()
    (entry,) = await missed(store, lease)
    owner = (await tables.enrollments())["e-9"][0]
    assert (entry.enrollment_id, entry.event) == ("e-9", goal_id("pay-9"))
    assert _native.contact_of(entry.payload) == ("acme", owner)
    await store.commit(lease, replace(change(), judged_runs=[("acme", "e-9")]))
    assert await tables.missed_events() == 0


async def test_events_of_one_key_that_both_contacts_missed_become_one(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(SlotRange(0, 255), "a")
    await store.commit(lease, change(Effect("e-1", slot=ANN), Effect("e-2", "bea", slot=BEA)))
    await store.commit(lease, missing("pay-1", "e-1"))
    await store.commit(lease, missing("pay-1", "e-2", contact="bea"))
    await store.commit(lease, change(merges=[merge()]))
    await adopt(store, lease)
    found = {entry.enrollment_id: entry.payload for entry in await missed(store, lease)}
    assert set(found) == {"e-1", "e-2"}
    assert {_native.contact_of(payload) for payload in found.values()} == {("acme", "bea")}
    judged = [("acme", "e-1"), ("acme", "e-2")]
    await store.commit(lease, replace(change(), judged_runs=judged))
    assert await tables.missed_events() == 0
