"""The contract of merges: the enrollments of one contact continue under another (E21)."""

import json
from typing import Any
from uuid import NAMESPACE_DNS, uuid5

import pytest
from tests.contract.shard_store.merging import (
    ALL,
    ANN,
    BEA,
    adopt,
    begin,
    loaded,
    merge,
    owners,
    run,
)
from tests.contract.store_backends import Tables
from tests.support.pipeline.changes import NOON, SECOND, change, goal_id

from goald.domain.contacts.forwards import ALREADY_MERGED, CYCLE, Forward, forward_key
from goald.domain.contacts.stored import contact_of
from goald.domain.errors import LeaseLost
from goald.domain.leases import SlotLease
from goald.domain.slots import SlotRange, slot_of
from goald.pipeline.shard.transfers import rename
from goald.ports.change import (
    EFFECTIVE,
    ContactEvent,
)
from goald.ports.shard_store import EventCheck, ShardStore


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
