"""The contract of events that paused workflows miss (E19)."""

from collections.abc import Sequence
from dataclasses import replace

from tests.contract.store_backends import Tables
from tests.support.pipeline.changes import NOON, SECOND, Effect, change, goal_id

from goald.adapters.postgres.shard.commit import CommitOptions
from goald.domain.leases import SlotLease
from goald.domain.slots import SlotRange
from goald.ports.change import Change, MissedEvent, MissedRun
from goald.ports.configuration import WorkflowKey
from goald.ports.shard_store import FIRST_MISSED, MissedPage, ShardStore

ALL = SlotRange(0, 255)
W_1 = WorkflowKey("acme", "w-1")
ENDED = Effect("e-1", is_new=False, status="exited", ended_at=NOON + SECOND)


def missing(event: str, *enrollments: str, contact: str = "ann") -> Change:
    """These enrollments of a contact miss an event."""
    row = MissedEvent("acme", contact, 3, goal_id(event), f"{NOON}-0", event.encode())
    runs = [MissedRun(0, "w-1", enrollment) for enrollment in enrollments]
    return replace(change(), missed_events=[row], missed_runs=runs)


async def missed(
    store: ShardStore, lease: SlotLease, workflow: WorkflowKey = W_1, limit: int = 100
) -> list[tuple[str, bytes]]:
    """The (enrollment, event) pairs that a workflow would exit."""
    page = await store.missed(lease, workflow, FIRST_MISSED, limit, 1 << 20)
    assert all(entry.event == goal_id(entry.payload.decode()) for entry in page.entries)
    return [(entry.enrollment_id, entry.payload) for entry in page.entries]


async def pages(
    store: ShardStore, lease: SlotLease, limit: int, most_bytes: int = 1 << 20
) -> list[list[str]]:
    """The enrollments of each page."""
    page = MissedPage([], FIRST_MISSED)
    found: list[list[str]] = []
    while page.end is not None and len(found) < 9:
        page = await store.missed(lease, W_1, page.end, limit, most_bytes)
        found.append([entry.enrollment_id for entry in page.entries])
    return found


async def enroll(store: ShardStore, names: Sequence[str] = ("e-1", "e-2")) -> SlotLease:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(*(Effect(name) for name in names)))
    return lease


async def test_first_event_of_each_enrollment_is_kept(store: ShardStore) -> None:
    lease = await enroll(store)
    await store.commit(lease, missing("pay-1", "e-1"))
    await store.commit(lease, missing("pay-2", "e-1", "e-2"))
    assert await missed(store, lease) == [("e-1", b"pay-1"), ("e-2", b"pay-2")]


async def test_pages_have_a_bounded_number_of_enrollments(store: ShardStore) -> None:
    lease = await enroll(store, ["e-1", "e-2", "e-3"])
    await store.commit(lease, missing("pay-1", "e-3", "e-1", "e-2"))
    assert await pages(store, lease, 2) == [["e-1", "e-2"], ["e-3"]]


async def test_pages_have_a_bounded_size(store: ShardStore) -> None:
    """An event counts once, and a page has at least one."""
    lease = await enroll(store, ["e-1", "e-2", "e-3", "e-4"])
    await store.commit(lease, missing("pay-1", "e-1", "e-2"))
    await store.commit(lease, missing("pay-2", "e-3"))
    await store.commit(lease, missing("pay-3", "e-4"))
    assert await pages(store, lease, 9, most_bytes=10) == [["e-1", "e-2", "e-3"], ["e-4"]]
    assert await pages(store, lease, 9, most_bytes=1) == [["e-1", "e-2"], ["e-3"], ["e-4"]]


async def test_workflows_and_slots_without_missed_events_are_left_out(store: ShardStore) -> None:
    lease = await enroll(store)
    await store.commit(lease, missing("pay-1", "e-1"))
    others = [WorkflowKey("acme", "w-2"), WorkflowKey("globex", "w-1")]
    assert await store.missed_workflows(lease, [*others, W_1]) == [W_1]
    assert await missed(store, lease, others[0]) == []
    lease = await store.acquire(SlotRange(4, 255), "b")
    assert await store.missed_workflows(lease, [W_1]) == []
    assert await missed(store, lease) == []


async def test_two_events_of_one_key_are_kept_for_their_contacts(store: ShardStore) -> None:
    lease = await enroll(store)
    await store.commit(lease, change(Effect("e-3", contact_id="bob")))
    of_ann, of_bob = missing("pay-1", "e-1"), missing("pay-1", "e-3", contact="bob")
    both = replace(
        of_ann,
        missed_events=[*of_ann.missed_events, *of_bob.missed_events],
        missed_runs=[*of_ann.missed_runs, MissedRun(1, "w-1", "e-3")],
    )
    await store.commit(lease, both)
    assert await missed(store, lease) == [("e-1", b"pay-1"), ("e-3", b"pay-1")]


async def test_event_that_is_delivered_twice_in_a_batch_is_kept_once(
    tables: Tables, store: ShardStore
) -> None:
    lease = await enroll(store)
    once = missing("pay-1", "e-1")
    runs = [MissedRun(0, "w-1", "e-1"), MissedRun(1, "w-1", "e-2")]
    twice = replace(once, missed_events=[*once.missed_events] * 2, missed_runs=runs)
    await store.commit(lease, twice)
    assert await missed(store, lease) == [("e-1", b"pay-1"), ("e-2", b"pay-1")]
    assert await tables.missed_events() == 1


async def test_enrollment_that_is_not_active_misses_nothing(store: ShardStore) -> None:
    lease = await enroll(store)
    await store.commit(lease, change(ENDED))
    await store.commit(lease, missing("pay-1", "e-1", "unknown"))
    await store.commit(lease, missing("pay-1", "e-2", contact="bob"))
    assert await missed(store, lease) == []


async def test_judged_events_are_removed_with_their_effects(
    tables: Tables, store: ShardStore
) -> None:
    lease = await enroll(store)
    await store.commit(lease, missing("pay-1", "e-1", "e-2"))
    judged = change(ENDED)
    await store.commit(lease, replace(judged, judged_runs=[("acme", "e-1")]))
    assert await missed(store, lease) == [("e-2", b"pay-1")]
    await store.commit(lease, replace(change(), judged_runs=[("acme", "e-2")]))
    assert await missed(store, lease) == []
    assert await tables.missed_events() == 0


async def test_forgotten_events_are_removed_in_pages(tables: Tables, store: ShardStore) -> None:
    lease = await enroll(store)
    await store.commit(lease, missing("pay-1", "e-1", "e-2"))
    end = await store.forget_missed(lease, W_1, FIRST_MISSED, 1)
    assert end is not None
    assert await missed(store, lease) == [("e-2", b"pay-1")]
    assert await tables.missed_events() == 1
    assert await store.forget_missed(lease, W_1, end, 9) is None
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
    assert await missed(store, lease) == [("e-3", b"pay-2")]


async def test_missed_events_of_a_tenant_take_a_limited_number_of_bytes(tables: Tables) -> None:
    store = tables.store(CommitOptions(missed_bytes=10))
    lease = await enroll(store, ("e-1", "e-2", "e-3"))
    for event, enrollment in (("pay-1", "e-1"), ("pay-2", "e-2")):
        kept = await store.commit(lease, missing(event, enrollment))
        assert kept.missed_dropped == [], "of 5 bytes"
    dropped = await store.commit(lease, missing("pay-3", "e-3"))
    assert dropped.missed_dropped == ["acme"]
    assert [enrollment for enrollment, _ in await missed(store, lease)] == ["e-1", "e-2"]
    await store.commit(lease, replace(change(), judged_runs=[("acme", "e-1")]))
    kept = await store.commit(lease, missing("pay-3", "e-3"))
    assert kept.missed_dropped == []
    assert [enrollment for enrollment, _ in await missed(store, lease)] == ["e-2", "e-3"]
    await store.close()
