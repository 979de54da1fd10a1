"""The contract of merges: the enrollments of one contact continue under another (E21)."""

import json
from dataclasses import replace
from typing import Any
from uuid import NAMESPACE_DNS, uuid5

import pytest
from tests.contract.store_backends import MemoryTables, Tables
from tests.support.pipeline.changes import NOON, SECOND, Effect, change, goal_id

from goald._native import contact_of as contact_of_event
from goald.adapters.postgres.shard.merging import merges, transfers
from goald.domain.contacts.forwards import ALREADY_MERGED, CYCLE, Forward, forward_key
from goald.domain.contacts.stored import contact_of
from goald.domain.errors import ContentRefused, LeaseLost
from goald.domain.leases import SlotLease
from goald.domain.slots import SlotRange, slot_of
from goald.pipeline.shard.transfers import rename
from goald.ports.change import (
    EFFECTIVE,
    ContactEvent,
    ContactMerge,
    MergeOutcome,
    MissedEvent,
    MissedRun,
)
from goald.ports.configuration import WorkflowKey
from goald.ports.shard_store import FIRST_MISSED, EventCheck, ShardStore

ALL = SlotRange(0, 255)
ANN, BEA = slot_of("acme", "ann"), slot_of("acme", "bea")


def merge(contact: str = "ann", into: str = "bea", at: int = NOON + SECOND) -> ContactMerge:
    key = str(uuid5(NAMESPACE_DNS, f"{contact} {into} {at}"))
    return ContactMerge("acme", contact, slot_of("acme", contact), into, key, at, at)


def run(enrollment: str, contact: str = "ann", **values: Any) -> Effect:
    slot = slot_of("acme", contact)
    return Effect(enrollment, contact, slot=slot, **values)


async def begin(store: ShardStore, lease: SlotLease, *merges: ContactMerge) -> list[MergeOutcome]:
    return list((await store.commit(lease, change(merges=merges))).merges)


async def adopt(store: ShardStore, lease: SlotLease) -> None:
    for transfer in await store.transfers(lease):
        while await store.adopt(lease, transfer, rename):
            pass


async def loaded(store: ShardStore, lease: SlotLease) -> bytes:
    rows = bytearray()
    await store.load(lease, rows.extend)
    return bytes(rows)


async def owners(tables: Tables) -> dict[str, tuple[str, str]]:
    return {id_: (row[0], row[1]) for id_, row in (await tables.enrollments()).items()}


async def test_runs_move_from_the_slots_of_one_shard_to_those_of_another(tables: Tables) -> None:
    assert ANN < BEA, "the contacts are in different shards"
    first, other = tables.store(), tables.store()
    losing = await first.acquire(SlotRange(0, ANN), "a")
    gaining = await other.acquire(SlotRange(BEA, 255), "b")
    await first.commit(losing, change(run("e-1"), run("e-2", status="completed", ended_at=NOON)))

    (outcome,) = await begin(first, losing, merge())

    key = forward_key(await first.forward_secret(), "acme", "ann")
    assert outcome.forward == Forward("acme", key, "bea", (NOON + SECOND,))
    assert b"e-1" not in await loaded(first, losing), "the run is in no shard while it moves"
    assert (await first.transfers(losing), len(await other.transfers(gaining))) == ([], 1)
    await adopt(other, gaining)
    assert await owners(tables) == {"e-1": ("bea", "active"), "e-2": ("bea", "completed")}
    assert b"e-1" in await loaded(other, gaining)
    assert await other.transfers(gaining) == []
    assert [*(await first.forwards(losing, 0))[0]] == [outcome.forward]
    assert [*(await other.forwards(gaining, 0))[0]] == []
    for store in (first, other):
        await store.close()


async def test_a_repeated_merge_and_a_repeated_transfer_change_nothing(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(run("e-1")))
    first = await begin(store, lease, merge())
    (transfer,) = await store.transfers(lease)
    assert await begin(store, lease, merge()) == first
    await store.adopt(lease, transfer, rename)
    ended = run("e-1", "bea", is_new=False, status="exited", ended_at=NOON + SECOND)
    await store.commit(lease, change(ended))
    await store.adopt(lease, transfer, rename)
    assert await begin(store, lease, merge()) == first
    assert await store.transfers(lease) == []
    assert await owners(tables) == {"e-1": ("bea", "exited")}


async def test_merges_that_make_a_cycle_or_contradict_another_are_refused(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    await begin(store, lease, merge("ann", "bea"), merge("bea", "cleo"))
    (cycle,) = await begin(store, lease, merge("cleo", "ann"))
    (other,) = await begin(store, lease, merge("ann", "dora"))
    assert (cycle.refused, other.refused) == (CYCLE, ALREADY_MERGED)
    (same,) = await begin(store, lease, merge("ann", "cleo"))
    assert same.refused is None
    assert same.forward is not None


async def test_a_run_that_has_not_moved_follows_the_next_merge(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(run("e-1"), run("e-2", "bea")))
    await begin(store, lease, merge("ann", "bea"))
    await begin(store, lease, merge("bea", "cleo"))
    for transfer in reversed(await store.transfers(lease)):  # of different shards: in any order
        await store.adopt(lease, transfer, rename)
    assert await owners(tables) == {"e-1": ("cleo", "active"), "e-2": ("cleo", "active")}


async def test_used_events_move(store: ShardStore) -> None:
    lease = await store.acquire(ALL, "a")
    ends = run("e-1", status="completed_goal", ended_at=NOON, met_goals=["g"], uses=["pay-1"])
    await store.commit(lease, change(ends))
    await begin(store, lease, merge())
    await adopt(store, lease)
    await store.commit(lease, change(run("e-2", "bea")))
    check = EventCheck("acme", "bea", "w-1", "e-2", goal_id("pay-1"), NOON)
    assert len(await store.excluded(lease, [check])) == 1


async def test_events_that_counted_for_the_other_contact_do_not_count_for_runs_that_move(
    store: ShardStore,
) -> None:
    lease = await store.acquire(ALL, "a")
    ends = {"status": "completed_goal", "ended_at": NOON, "met_goals": ["g"]}
    await store.commit(lease, change(run("e-1"), run("e-2", "bea", uses=["before"], **ends)))
    await begin(store, lease, merge())
    await store.commit(
        lease, change(run("e-3", "bea", uses=["since"], uses_at=NOON + 2 * SECOND, **ends))
    )
    await adopt(store, lease)
    checks = [
        EventCheck("acme", "bea", "w-1", "e-1", goal_id(of), NOON + 9 * SECOND)
        for of in ("before", "since")
    ]
    (excluded,) = await store.excluded(lease, checks)
    assert excluded.event == goal_id("before")


async def excluded_runs(store: ShardStore, lease: SlotLease, at: int, merged: int = 0) -> set[str]:
    """Those of e-1 and e-2 for which an event does not count that Redis received then, and whose
    contact was merged afterwards."""
    event = goal_id("an event")
    checks = [EventCheck("acme", "cleo", "w-1", run, event, at, merged) for run in ("e-1", "e-2")]
    return {each.enrollment_id for each in await store.excluded(lease, checks)}


async def test_an_event_counts_for_the_runs_that_its_contact_had_when_it_was_received(
    tables: Tables, store: ShardStore
) -> None:
    """Run e-1 moves with two merges, and e-2 with the second."""
    lease = await store.acquire(ALL, "a")
    first, second = NOON + SECOND, NOON + 3 * SECOND
    await store.commit(lease, change(run("e-1"), run("e-2", "bea")))
    (to_bea,) = await begin(store, lease, merge(at=first))
    (to_cleo,) = await begin(store, lease, merge("bea", "cleo", second))
    for transfer in reversed(await store.transfers(lease)):
        while await store.adopt(lease, transfer, rename):
            pass
    forwards = (await store.forwards(lease, 0))[0]
    assert {each.merges for each in forwards} == {(first, second), (second,)}
    assert to_bea.forward is not None
    assert to_cleo.forward is not None
    before, between, after = NOON, NOON + 2 * SECOND, NOON + 4 * SECOND
    assert await excluded_runs(store, lease, after) == set()
    assert await excluded_runs(store, lease, between) == {"e-1", "e-2"}, "an event of cleo"
    assert await excluded_runs(store, lease, between, second) == set(), "of ann or bea"
    assert await excluded_runs(store, lease, before, second) == {"e-1"}, "of bea"
    assert await excluded_runs(store, lease, before, first) == {"e-2"}, "of ann"


async def test_an_event_that_counted_for_the_other_contact_first_counts_for_an_earlier_run(
    store: ShardStore,
) -> None:
    """Two shards: the event counts in one before the run starts in the other. Redis received it
    after the merge, and so after the start."""
    lease = await store.acquire(ALL, "a")
    ends: dict[str, Any] = {"status": "completed_goal", "ended_at": NOON, "met_goals": ["g"]}
    await store.commit(lease, change(run("e-1", uses=["pay-1"], **ends)))
    later = run("e-3", "bea", uses=["an event"], uses_at=NOON + 2 * SECOND, **ends)
    await store.commit(lease, change(later))
    await store.commit(lease, change(run("e-2")))
    await begin(store, lease, merge())
    await adopt(store, lease)
    of_run = "acme", "bea", "w-1", "e-2"
    checks = [
        EventCheck(*of_run, goal_id(name), NOON + 2 * SECOND) for name in ("an event", "pay-1")
    ]
    (excluded,) = await store.excluded(lease, checks)
    assert excluded.event == goal_id("pay-1"), "it had counted for an earlier run of ann"


async def test_a_run_that_starts_late_has_the_merges_of_its_contact_since(
    store: ShardStore,
) -> None:
    lease = await store.acquire(ALL, "a")
    late = run("e-1", "cleo", merges=[NOON + SECOND])
    committed = await store.commit(lease, change(late, run("e-2", "cleo")))
    assert list(committed.effective) == [EFFECTIVE, EFFECTIVE]
    assert await excluded_runs(store, lease, NOON) == {"e-1"}
    assert await excluded_runs(store, lease, NOON, NOON + SECOND) == {"e-2"}


async def test_a_merge_does_not_move_the_runs_of_a_contact_that_was_deleted_after_it(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(deletions=[("acme", "ann", ANN, NOON + 2 * SECOND)]))
    await store.commit(lease, change(run("e-1", enrolled_at=NOON + 3 * SECOND)))
    assert await begin(store, lease, merge()) == [MergeOutcome()]
    await adopt(store, lease)
    assert await owners(tables) == {"e-1": ("ann", "active")}


async def test_a_deletion_of_the_merged_contact_leaves_its_runs(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(run("e-1", achieves=["g"], met_goals=["g"])))
    await begin(store, lease, merge())
    await store.commit(lease, change(deletions=[("acme", "ann", ANN, NOON + 2 * SECOND)]))
    await tables.erase_rows()
    assert await owners(tables) == {"e-1": ("ann", "active")}, "it is of another contact"
    await adopt(store, lease)
    await tables.erase_rows()
    assert await owners(tables) == {"e-1": ("bea", "active")}
    assert [*(await store.forwards(lease, 0))[0]], "events of the old id still count"


async def test_runs_of_a_contact_that_was_deleted_after_the_merge_are_cancelled(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(run("e-1")))
    await begin(store, lease, merge())
    await store.commit(lease, change(deletions=[("acme", "bea", BEA, NOON + 2 * SECOND)]))
    await adopt(store, lease)
    await tables.erase_rows()
    ((contact, status),) = (await owners(tables)).values()
    assert (contact.startswith("erased:"), status) == (True, "cancelled")


async def test_opting_out_survives_and_later_values_count(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")

    def updated(contact: str, at: int, **data: object) -> ContactEvent:
        key = str(uuid5(NAMESPACE_DNS, f"{contact} {at}"))
        slot, time = slot_of("acme", contact), NOON + at
        return ContactEvent("acme", contact, slot, "contact.updated", key, time, json.dumps(data))

    events = [
        updated("ann", 1, opted_in=False, timezone="Europe/Rome", attributes={"plan": "pro"}),
        updated("bea", 2, opted_in=True, email="bea@example.com", attributes={"plan": "free"}),
    ]
    await store.commit(lease, change(contact_events=events))
    await begin(store, lease, merge())
    assert "ann" not in await tables.contacts()
    await adopt(store, lease)
    contact = contact_of((await tables.contacts())["bea"])
    assert (contact.opted_in, contact.timezone, contact.email, contact.attributes) == (
        False,
        "Europe/Rome",
        "bea@example.com",
        {"plan": "free"},
    )


async def test_a_shard_that_lost_its_lease_moves_nothing(tables: Tables, store: ShardStore) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(run("e-1")))
    await begin(store, lease, merge())
    (transfer,) = await store.transfers(lease)
    later = tables.store()
    await later.acquire(ALL, "b")
    with pytest.raises(LeaseLost):
        await store.adopt(lease, transfer, rename)
    assert await owners(tables) == {"e-1": ("ann", "active")}
    await later.close()


async def test_forwards_to_a_merged_contact_remain_when_that_contact_is_deleted(
    tables: Tables,
) -> None:
    """A platform deletes each contact after its merge. The contacts are in different shards."""
    first, other = tables.store(), tables.store()
    of_ann = await first.acquire(SlotRange(0, ANN), "a")
    of_bea = await other.acquire(SlotRange(BEA, 255), "b")
    await begin(first, of_ann, merge("ann", "bea"))
    await begin(other, of_bea, merge("bea", "cleo"))
    await other.commit(of_bea, change(deletions=[("acme", "bea", BEA, NOON + 2 * SECOND)]))
    for store, lease in ((first, of_ann), (other, of_bea)):
        await adopt(store, lease)
    await tables.erase_rows()
    forwards = [*(await first.forwards(of_ann, 0))[0], *(await other.forwards(of_bea, 0))[0]]
    assert [each.target for each in forwards] == ["cleo", "cleo"]
    for store in (first, other):
        await store.close()


async def test_contacts_merged_into_a_deleted_one_begin_a_new_life_immediately(
    store: ShardStore,
) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(run("e-1")))
    _, number = await store.forwards(lease, 0)
    await begin(store, lease, merge())
    await adopt(store, lease)
    await store.commit(lease, change(deletions=[("acme", "bea", BEA, NOON + 2 * SECOND)]))
    (forward,) = (await store.forwards(lease, number))[0]
    assert forward.target is None
    (again,) = await begin(store, lease, merge("ann", "cleo", NOON + 3 * SECOND))
    assert again.forward is not None


async def test_a_merge_from_before_the_deletion_moves_no_runs_of_the_new_life(
    tables: Tables, store: ShardStore
) -> None:
    """It is delivered again, or only now, or the source gives it the time of its arrival."""
    lease = await store.acquire(ALL, "a")
    first = merge(at=NOON + SECOND)
    await begin(store, lease, first)
    await adopt(store, lease)
    await store.commit(lease, change(deletions=[("acme", "bea", BEA, NOON + 2 * SECOND)]))
    await store.commit(lease, change(run("e-1", enrolled_at=NOON + 3 * SECOND)))
    later = NOON + 4 * SECOND
    arrives_again = first._replace(merged_at=later, received_at=later)
    for repeat in (first, merge("ann", "cleo", NOON + 2 * SECOND), arrives_again):
        assert await begin(store, lease, repeat) == [MergeOutcome()]
    second = merge(at=NOON + 5 * SECOND)
    (outcome,) = await begin(store, lease, second)
    assert outcome.forward is not None
    await adopt(store, lease)
    assert await owners(tables) == {"e-1": ("bea", "active")}
    await store.commit(lease, change(deletions=[("acme", "bea", BEA, NOON + 6 * SECOND)]))
    for repeat in (first, second):
        again = repeat._replace(merged_at=NOON + 7 * SECOND, received_at=NOON + 7 * SECOND)
        assert await begin(store, lease, again) == [MergeOutcome()]


async def test_an_earlier_deletion_covers_nothing_that_moved_to_the_contact_after_it(
    tables: Tables, store: ShardStore
) -> None:
    """Although the enrollments began before it, and whether it is read before the merge, again, or
    only after it."""
    lease = await store.acquire(ALL, "a")
    key, stamp = str(uuid5(NAMESPACE_DNS, "updated")), NOON - SECOND
    data = json.dumps({"timezone": "Europe/Rome"})
    updated = ContactEvent("acme", "ann", ANN, "contact.updated", key, stamp, data)
    ends: dict[str, Any] = {"status": "completed_goal", "ended_at": NOON + 1, "met_goals": ["g"]}
    ended = run("ended", achieves=["g"], uses=["pay"], **ends)
    await store.commit(lease, replace(change(run("e-1"), ended), contact_events=[updated]))
    deletion = change(deletions=[("acme", "bea", BEA, NOON + SECOND)])
    await store.commit(lease, deletion)
    await begin(store, lease, merge(at=NOON + 2 * SECOND))
    await adopt(store, lease)
    for _ in range(2):
        await tables.erase_rows()
        rows = await owners(tables)
        assert rows == {"e-1": ("bea", "active"), "ended": ("bea", "completed_goal")}
        contact = contact_of((await tables.contacts())["bea"])
        assert contact.timezone == "Europe/Rome"
        since = (NOON + 2 * SECOND).to_bytes(8, "big")
        assert since in await loaded(store, lease), "memory knows since when it is of the contact"
        check = EventCheck("acme", "bea", "w-1", "later", goal_id("pay"), NOON + 4 * SECOND)
        assert len(await store.excluded(lease, [check])) == 1, "it has counted (E11)"
        await store.commit(lease, deletion)
    later = change(deletions=[("acme", "bea", BEA, NOON + 2 * SECOND)])
    await store.commit(lease, later)
    await tables.erase_rows()
    assert {contact[:7] for contact, _ in (await owners(tables)).values()} == {"erased:"}


async def test_events_that_counted_for_a_deleted_person_count_for_the_next_life_of_the_id(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    ends: dict[str, Any] = {"status": "completed_goal", "ended_at": NOON, "met_goals": ["g"]}
    await store.commit(lease, change(run("e-1", uses=["pay"], **ends)))
    await begin(store, lease, merge())
    await store.commit(lease, change(deletions=[("acme", "bea", BEA, NOON + 2 * SECOND)]))
    await tables.erase_rows()  # of the first life, before the transfer
    at = NOON + 3 * SECOND
    first = ends | {"enrolled_at": at, "ended_at": at}
    await store.commit(lease, change(run("first", "bea", uses=["pay-2"], **first)))
    await store.commit(lease, change(run("new", "bea", enrolled_at=at)))
    await adopt(store, lease)
    check = EventCheck("acme", "bea", "w-1", "new", goal_id("pay"), NOON + 4 * SECOND)
    assert await store.excluded(lease, [check]) == set()


async def test_a_refused_transfer_leaves_the_new_life_of_the_merged_contact(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    ends: dict[str, Any] = {"status": "completed_goal", "ended_at": NOON, "met_goals": ["g"]}
    await store.commit(lease, change(run("old"), run("ended", uses=["pay"], **ends)))
    await begin(store, lease, merge())
    await tables.refuse("bea")
    (first,) = await store.transfers(lease)
    await store.refuse(lease, first, "refused")
    await store.commit(lease, change(deletions=[("acme", "bea", BEA, NOON + 2 * SECOND)]))
    at, later = NOON + 3 * SECOND, ends | {"ended_at": NOON + 4 * SECOND}
    new = run("new", enrolled_at=at), run("done", enrolled_at=at, uses=["pay-2"], **later)
    await store.commit(lease, change(*new))
    rows = await loaded(store, lease)
    assert (b"new" in rows, b"old" in rows) == (True, False)
    await begin(store, lease, merge("ann", "cleo", NOON + 5 * SECOND))
    assert await store.transfers(lease) == [], "the second waits for the first"
    await tables.accept("bea")
    for expected in ("ann", "cleo"):
        await adopt(store, lease)
        contacts = await owners(tables)
        assert (contacts["new"], contacts["done"][0]) == ((expected, "active"), expected)
    await tables.erase_rows()
    assert {(await owners(tables))[of][0][:7] for of in ("old", "ended")} == {"erased:"}
    await store.commit(lease, change(run("next", "cleo", enrolled_at=NOON + 6 * SECOND)))
    received_at = NOON + 7 * SECOND
    of = [
        EventCheck("acme", "cleo", "w-1", "next", goal_id(each), received_at)
        for each in ("pay", "pay-2")
    ]
    assert [each.event for each in await store.excluded(lease, of)] == [goal_id("pay-2")]


async def test_a_merge_that_arrives_after_the_deletion_that_follows_it_forwards_nothing(
    tables: Tables, store: ShardStore
) -> None:
    """The deletion covers the runs of the merged contact. Later events are of a new life."""
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(run("e-1")))
    await store.commit(lease, change(deletions=[("acme", "bea", BEA, NOON + 2 * SECOND)]))
    (outcome,) = await begin(store, lease, merge(at=NOON + SECOND))
    assert outcome.forward is not None
    assert outcome.forward.target is None
    await adopt(store, lease)
    await tables.erase_rows()
    ((contact, status),) = (await owners(tables)).values()
    assert (contact.startswith("erased:"), status) == (True, "cancelled")


async def test_repeated_starts_of_a_deleted_person_are_no_conflicts_with_what_moved(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(run("e-1")))
    await begin(store, lease, merge())
    await adopt(store, lease)
    await store.commit(lease, change(deletions=[("acme", "bea", BEA, NOON + 2 * SECOND)]))
    await tables.erase_rows()
    await store.forwards(lease, 0)
    committed = await store.commit(lease, change(run("e-1")))
    assert (committed.conflicts, committed.is_stale) == ([], False)


async def test_forwards_end_if_the_deletion_is_committed_while_the_merge_is(
    tables: Tables, store: ShardStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isinstance(tables, MemoryTables):
        pytest.skip("one thread")
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(deletions=[("acme", "bea", BEA, NOON + 2 * SECOND)]))
    monkeypatch.setattr(merges, "DELETED_AT", "SELECT NULL::int8 WHERE $1 <> $2")
    await begin(store, lease, merge(at=NOON + SECOND))
    assert await tables.pending_transfers() == (1, 0, 1)
    await adopt(store, lease)
    assert await tables.pending_transfers() == (0, 0, 0)
    (forward,) = (await store.forwards(lease, 0))[0]
    assert forward.target is None


async def test_the_deletion_of_the_contact_that_continues_covers_late_starts_of_the_merged_one(
    tables: Tables,
) -> None:
    """The contacts are in different shards."""
    first, other = tables.store(), tables.store()
    of_ann = await first.acquire(SlotRange(0, ANN), "a")
    of_bea = await other.acquire(SlotRange(BEA, 255), "b")
    await first.commit(of_ann, change(run("e-1"), run("e-2", status="exited", ended_at=NOON)))
    await begin(first, of_ann, merge())
    await adopt(other, of_bea)
    await other.commit(of_bea, change(deletions=[("acme", "bea", BEA, NOON + 2 * SECOND)]))
    for _ in range(2):  # reading it again changes nothing
        await first.forwards(of_ann, 0)
    starts = run("late"), run("new", enrolled_at=NOON + 3 * SECOND)
    repeated, ended = run("e-1"), run("e-2", status="exited", ended_at=NOON + SECOND)
    committed = await first.commit(of_ann, change(*starts, repeated, ended))
    assert (committed.conflicts, committed.is_stale) == ([], False), "they are repeated"
    rows = await owners(tables)
    assert (rows["late"][0].startswith("erased:"), rows["late"][1]) == (True, "cancelled")
    assert rows["new"] == ("ann", "active")
    for store in (first, other):
        await store.close()


async def test_runs_used_events_and_ended_runs_move_in_pages(
    tables: Tables, store: ShardStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfers, "PAGE_ROWS", 3)
    lease = await store.acquire(ALL, "a")
    ends: dict[str, Any] = {"status": "completed_goal", "ended_at": NOON, "met_goals": ["g"]}
    ended = [run(f"ended-{n}", uses=[f"pay-{n}"], achieves=["g"], **ends) for n in range(7)]
    active = [run(f"active-{n}") for n in range(10)]
    await store.commit(lease, change(*active, *ended))
    await begin(store, lease, merge())
    (transfer,) = await store.transfers(lease)
    while await store.adopt(lease, transfer, rename):
        moved = {contact for id_, (contact, _) in (await owners(tables)).items() if "ended" in id_}
        assert moved == {"ann"}, "active runs move first"
    rows = await loaded(store, lease)
    assert all(f"active-{n}".encode() in rows for n in range(10))
    for transfer in await store.transfers(lease):
        assert transfer.is_adopted
        while await store.move_ended(lease, transfer, rename):
            pass
    assert await store.transfers(lease) == []
    assert {contact for contact, _ in (await owners(tables)).values()} == {"bea"}
    await store.commit(lease, change(run("later", "bea")))
    checks = [EventCheck("acme", "bea", "w-1", "later", goal_id(f"pay-{n}"), NOON + SECOND)
              for n in range(7)]  # fmt: skip
    assert len(await store.excluded(lease, checks)) == 7
    (again,) = await begin(store, lease, merge("ann", "cleo"))
    assert again.refused == ALREADY_MERGED


async def test_a_transfer_that_is_refused_waits_and_loses_nothing(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(run("e-1"), run("e-2", "dora")))
    await begin(store, lease, merge("ann", "bea"), merge("dora", "cleo"))
    await tables.refuse("bea")
    refused = min(await store.transfers(lease), key=lambda each: each.contact_id)
    with pytest.raises(ContentRefused) as error:
        await store.adopt(lease, refused, rename)
    assert await tables.pending_transfers() == (2, 0, 0)
    await store.refuse(lease, refused, str(error.value))
    assert await tables.pending_transfers() == (1, 1, 0)
    await adopt(store, lease)
    assert await owners(tables) == {"e-1": ("ann", "active"), "e-2": ("cleo", "active")}
    assert b"e-1" not in await loaded(store, lease), "it belongs to no shard"
    assert await store.transfers(lease) == [], "it is tried again later"
    await tables.accept("bea")
    await adopt(store, lease)
    assert (await owners(tables))["e-1"] == ("bea", "active")
    assert await tables.pending_transfers() == (0, 0, 0)


async def test_a_missed_event_that_cannot_be_read_refuses_the_transfer(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(run("e-1")))
    event = MissedEvent("acme", "ann", ANN, goal_id("pay-1"), f"{NOON}-0", b"{}")
    missed = [MissedRun(0, "w-1", "e-1")]
    await store.commit(lease, replace(change(), missed_events=[event], missed_runs=missed))
    await begin(store, lease, merge())
    (transfer,) = await store.transfers(lease)
    with pytest.raises(ContentRefused):
        await store.adopt(lease, transfer, rename)
    assert await owners(tables) == {"e-1": ("ann", "active")}


async def test_missed_events_move_with_the_runs_that_missed_them(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(run("e-1")))
    payload = b'{"tenantid":"acme","data":{"contact_id":"ann"}}'
    event = MissedEvent("acme", "ann", ANN, goal_id("pay-1"), f"{NOON}-0", payload)
    missed = [MissedRun(0, "w-1", "e-1")]
    await store.commit(lease, replace(change(), missed_events=[event], missed_runs=missed))
    await begin(store, lease, merge())
    page = WorkflowKey("acme", "w-1"), FIRST_MISSED, 10, 1 << 20
    assert (await store.missed(lease, *page)).entries == [], "the run is in no shard while it moves"
    await adopt(store, lease)
    ((entry,), _) = await store.missed(lease, *page)
    assert (entry.enrollment_id, entry.event) == ("e-1", goal_id("pay-1"))
    assert contact_of_event(entry.payload) == ("acme", "bea")
    await store.commit(lease, replace(change(), judged_runs=[("acme", "e-1")]))
    assert await tables.missed_events() == 0
