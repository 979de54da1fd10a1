"""The contract of deletions of contacts that continue others, or continue under others (E21)."""

import json
from dataclasses import replace
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
from tests.contract.store_backends import MemoryTables, Tables
from tests.support.pipeline.changes import NOON, SECOND, change, goal_id

from goald.adapters.postgres.shard.merging import merges
from goald.domain.contacts.stored import contact_of
from goald.domain.ids import ContactId, TenantId
from goald.domain.slots import SlotRange, slot_of
from goald.ports.change import (
    ContactEvent,
    MergeOutcome,
)
from goald.ports.shard_store import EventCheck, PassedOn, ShardStore


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


@pytest.mark.parametrize("succeeds_first", [False, True], ids=["later", "first"])
async def test_a_refused_transfer_leaves_the_new_life_of_the_merged_contact(
    tables: Tables, store: ShardStore, succeeds_first: bool
) -> None:
    """Whether it is tried again before the transfer of the new life, or later."""
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
    if succeeds_first:
        await tables.accept("bea")
        await adopt(store, lease)
        assert (await owners(tables))["done"][0] == "ann"
    await begin(store, lease, merge("ann", "cleo", NOON + 5 * SECOND))
    await adopt(store, lease)
    contacts = await owners(tables)
    assert (contacts["new"], contacts["done"][0]) == (("cleo", "active"), "cleo")
    if not succeeds_first:
        assert {contacts[of][0] for of in ("old", "ended")} == {"ann"}
        await tables.accept("bea")
        await adopt(store, lease)
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


async def test_events_that_were_passed_on_go_back_when_the_contact_that_continues_is_deleted(
    tables: Tables,
) -> None:
    """The contacts are in different shards. Their merges are followed to the end of the chain."""
    first, other = tables.store(), tables.store()
    of_ann = await first.acquire(SlotRange(0, ANN), "a")
    of_bea = await other.acquire(SlotRange(BEA, 255), "b")
    to_bea = PassedOn(TenantId("acme"), ContactId("ann"), ContactId("bea"))
    unknown = to_bea._replace(contact_id=ContactId("eve"))
    await begin(first, of_ann, merge())
    assert await other.ended_forwards(of_bea, [to_bea, unknown]) == {unknown}
    await begin(other, of_bea, merge("bea", "cleo", NOON + 2 * SECOND))
    to_cleo, elsewhere = (to_bea._replace(into_contact_id=ContactId(of)) for of in ("cleo", "dora"))
    found = await other.ended_forwards(of_bea, [to_bea, to_cleo, elsewhere])
    assert found == {elsewhere}, "bea continues under the same contact as ann"
    cleo = slot_of("acme", "cleo")
    everything = await other.acquire(ALL, "b")
    await other.commit(everything, change(deletions=[("acme", "cleo", cleo, NOON + 3 * SECOND)]))
    assert await other.ended_forwards(everything, [to_bea, to_cleo]) == {to_bea, to_cleo}
    for store in (first, other):
        await store.close()
