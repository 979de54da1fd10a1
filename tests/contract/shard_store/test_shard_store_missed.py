"""The contract of events that paused workflows miss (E19)."""

from collections.abc import Sequence
from dataclasses import replace

from tests.contract.store_backends import Tables
from tests.support.pipeline.changes import NOON, SECOND, Effect, change, goal_id

from goald.domain.leases import SlotLease
from goald.domain.slots import SlotRange
from goald.ports.change import Change, MissedEvent, MissedRun
from goald.ports.shard_store import ShardStore

ALL = SlotRange(0, 255)
ENDED = Effect("e-1", is_new=False, status="exited", ended_at=NOON + SECOND)


def missing(event: str, *enrollments: str, contact: str = "ann") -> Change:
    """These enrollments of a contact miss an event."""
    row = MissedEvent("acme", contact, 3, goal_id(event), f"{NOON}-0", event.encode())
    runs = [MissedRun(0, "w-1", enrollment) for enrollment in enrollments]
    return replace(change(), missed_events=[row], missed_runs=runs)


async def missed(
    store: ShardStore, lease: SlotLease, after: int = 0, version: int = 9, limit: int = 100
) -> list[tuple[str, bytes]]:
    """The (enrollment, event) pairs that the active workflows exit."""
    entries = await store.missed(lease, after, version, limit)
    assert all(entry.event == goal_id(entry.payload.decode()) for entry in entries)
    return sorted((entry.enrollment_id, entry.payload) for entry in entries)


async def enroll(store: ShardStore, names: Sequence[str] = ("e-1", "e-2")) -> SlotLease:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(*(Effect(name) for name in names)))
    return lease


async def test_first_event_of_each_enrollment_is_kept(tables: Tables, store: ShardStore) -> None:
    lease = await enroll(store)
    await store.commit(lease, missing("pay-1", "e-1"))
    await store.commit(lease, missing("pay-2", "e-1", "e-2"))
    assert await missed(store, lease) == []
    await tables.save_workflow(5, "acme", "w-1", exits_missed=True)
    assert await missed(store, lease) == [("e-1", b"pay-1"), ("e-2", b"pay-2")]
    assert await missed(store, lease, limit=1) == [("e-1", b"pay-1")]


async def test_only_workflows_that_changed_between_the_versions_are_read(
    tables: Tables, store: ShardStore
) -> None:
    """A shard that has not loaded the activation still records missed events."""
    lease = await enroll(store)
    await store.commit(lease, missing("pay-1", "e-1"))
    await tables.save_workflow(5, "acme", "w-1", exits_missed=True)
    assert await missed(store, lease, after=0, version=4) == []
    assert await missed(store, lease, after=5, version=9) == []
    assert await missed(store, lease, after=4, version=5) == [("e-1", b"pay-1")]


async def test_enrollment_that_is_not_active_misses_nothing(
    tables: Tables, store: ShardStore
) -> None:
    lease = await enroll(store)
    await store.commit(lease, change(ENDED))
    await store.commit(lease, missing("pay-1", "e-1", "unknown"))
    await store.commit(lease, missing("pay-1", "e-2", contact="bob"))
    await tables.save_workflow(5, "acme", "w-1", exits_missed=True)
    assert await missed(store, lease) == []


async def test_judged_events_are_removed_with_their_effects(
    tables: Tables, store: ShardStore
) -> None:
    lease = await enroll(store)
    await store.commit(lease, missing("pay-1", "e-1", "e-2"))
    await tables.save_workflow(5, "acme", "w-1", exits_missed=True)
    judged = change(ENDED)
    await store.commit(lease, replace(judged, judged_runs=[("acme", "e-1")]))
    assert await missed(store, lease) == [("e-2", b"pay-1")]
    await store.commit(lease, replace(change(), judged_runs=[("acme", "e-2")]))
    assert await missed(store, lease) == []
    assert await tables.missed_events() == 0


async def test_activation_without_exits_removes_missed_events(
    tables: Tables, store: ShardStore
) -> None:
    lease = await enroll(store)
    await store.commit(lease, missing("pay-1", "e-1"))
    await tables.save_workflow(5, "acme", "w-1")
    assert await missed(store, lease, after=5) == []
    assert await tables.missed_events() == 1
    assert await missed(store, lease) == []
    assert await tables.missed_events() == 0


async def test_deletion_of_the_contact_removes_missed_events(
    tables: Tables, store: ShardStore
) -> None:
    lease = await enroll(store)
    later = NOON + 9 * SECOND
    await store.commit(lease, change(Effect("e-3", enrolled_at=later)))
    await store.commit(lease, missing("pay-1", "e-1", "e-2"))
    await store.commit(lease, missing("pay-2", "e-3"))
    await store.commit(lease, change(deletions=[("acme", "ann", 3, NOON + SECOND)]))
    await tables.erase_rows()
    assert await tables.missed_events() == 1
    await tables.save_workflow(5, "acme", "w-1", exits_missed=True)
    assert await missed(store, lease) == [("e-3", b"pay-2")]
