"""The contract of `ShardStore`, in memory and in Postgres."""

import pytest
from tests.contract.store_backends import Tables
from tests.support.pipeline.changes import NOON, SECOND, Effect, change, goal_id, goal_met

from goald.domain.errors import ContentRefused, LeaseLost
from goald.domain.slots import SlotRange
from goald.ports.change import Conflict
from goald.ports.shard_store import ShardStore

ALL = SlotRange(0, 255)
LOW, HIGH = SlotRange(0, 127), SlotRange(128, 255)


async def loaded(store: ShardStore, lease: object, contacts: object = None) -> bytes:
    pieces: list[bytes] = []
    if contacts is None:
        await store.load(lease, pieces.append)  # type: ignore[arg-type]
    else:
        await store.load_contacts(lease, contacts, pieces.append)  # type: ignore[arg-type]
    return b"".join(pieces)


# Leases


async def test_later_epoch_is_greater(store: ShardStore) -> None:
    first = await store.acquire(LOW, "a")
    assert (await store.acquire(LOW, "b")).epoch > first.epoch


async def test_fenced_holder_can_do_nothing(tables: Tables) -> None:
    old, new = tables.store(), tables.store()
    lease = await old.acquire(LOW, "a")
    await new.acquire(SlotRange(100, 200), "b")
    for attempt in (
        old.commit(lease, change(Effect("e-1"))),
        old.check(lease),
        old.renew(lease, 1),
        loaded(old, lease),
        loaded(old, lease, [("acme", "ann")]),
    ):
        with pytest.raises(LeaseLost):
            await attempt
    assert await tables.enrollments() == {}


async def test_holders_of_other_slots_keep_their_leases(tables: Tables) -> None:
    low, high = tables.store(), tables.store()
    lease = await low.acquire(LOW, "a")
    await high.acquire(HIGH, "b")
    await low.renew(lease, 7)
    await low.check(lease)
    assert (await low.commit(lease, change(Effect("e-1")))).effective == b"\1"


async def test_released_lease_is_lost_and_releasing_twice_changes_nothing(tables: Tables) -> None:
    store, other = tables.store(), tables.store()
    lease = await store.acquire(LOW, "a")
    await store.release(lease)
    with pytest.raises(LeaseLost):
        await store.check(lease)
    newer = await other.acquire(LOW, "b")
    await store.release(lease)
    await other.check(newer)


# Commits


async def test_new_enrollment_is_kept_and_loaded(tables: Tables, store: ShardStore) -> None:
    lease = await store.acquire(ALL, "a")
    committed = await store.commit(lease, change(Effect("e-1"), Effect("e-2", contact_id="bob")))
    assert committed.effective == b"\1\1"
    assert not committed.is_stale
    assert set(await tables.enrollments()) == {"e-1", "e-2"}
    pieces = await loaded(store, lease)
    assert b"e-1" in pieces
    assert b"e-2" in pieces


async def test_both_stores_load_the_same_bytes(tables: Tables, store: ShardStore) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(Effect("e-1", met_goals=["x", "y"], enrolled_at=NOON + 1)))
    fields = [b"acme", b"e-1", b"ann", b"w-1", (NOON + 1).to_bytes(8, "big")]
    fields += [f"{goal_id('x')},{goal_id('y')}".encode(), b"\0", b""]
    row = b"\0\10" + b"".join(len(text).to_bytes(4, "big") + text for text in fields)
    header = b"PGCOPY\n\xff\r\n\0" + bytes(8)
    assert await loaded(store, lease) == header + row + b"\xff\xff"


async def test_load_returns_only_active_enrollments_of_the_slots(tables: Tables) -> None:
    everything, low = tables.store(), tables.store()
    lease = await everything.acquire(ALL, "a")
    await everything.commit(
        lease,
        change(
            Effect("e-low", slot=127),
            Effect("e-high", slot=128),
            Effect("e-ended", slot=1, status="completed", ended_at=NOON),
        ),
    )
    rows = await loaded(low, await low.acquire(LOW, "b"))
    assert b"e-low" in rows
    assert b"e-high" not in rows
    assert b"e-ended" not in rows


async def test_load_of_contacts_returns_only_their_enrollments(store: ShardStore) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(
        lease,
        change(
            Effect("e-ann"),
            Effect("e-bob", contact_id="bob"),
            Effect("e-other", tenant_id="other"),
        ),
    )
    rows = await loaded(store, lease, [("acme", "ann"), ("acme", "unknown")])
    assert b"e-ann" in rows
    assert b"e-bob" not in rows
    assert b"e-other" not in rows


async def test_goal_met_writes_enrollment_achievement_and_messages_in_order(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(Effect("e-1"), Effect("e-2")))
    committed = await store.commit(
        lease,
        change(goal_met("e-1", messages=("one", "two")), goal_met("e-2", messages=("three",))),
    )
    assert committed.effective == b"\1\1"
    assert [stored.message.payload for stored in committed.outbox] == ["one", "two", "three"]
    assert (await tables.enrollments())["e-1"] == ("ann", "completed_goal", 1, (None, 0))
    assert await tables.achievements() == [
        ("e-1", '{"tag_name":"g"}'),
        ("e-2", '{"tag_name":"g"}'),
    ]
    assert await store.outbox.unpublished(lease) == list(committed.outbox)


async def test_repeated_commit_changes_nothing(tables: Tables, store: ShardStore) -> None:
    lease = await store.acquire(ALL, "a")
    batch = change(Effect("e-0"), goal_met("e-1", is_new=True, messages=("exit",)))
    await store.commit(lease, batch)
    again = await store.commit(lease, batch)
    assert again.effective == b"\0\0"
    assert not again.conflicts
    assert not again.outbox
    assert len(await tables.achievements()) == 1
    assert await tables.payloads() == ["exit"]


async def test_ended_enrollment_never_becomes_active_again(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(Effect("e-1", status="exited", ended_at=NOON)))
    started = await store.commit(lease, change(Effect("e-1")))
    assert (started.effective, started.is_stale, list(started.conflicts)) == (b"\0", False, [])
    met = await store.commit(lease, change(goal_met("e-1", messages=("exit",))))
    assert (met.effective, met.is_stale) == (b"\0", True)
    assert (await tables.enrollments())["e-1"][1] == "exited"
    assert await tables.achievements() == []
    assert await tables.payloads() == []


async def test_rows_of_effective_effects_are_written_despite_a_repeat(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(Effect("e-2")))
    committed = await store.commit(
        lease, change(goal_met("e-gone", messages=("no",)), goal_met("e-2", messages=("yes",)))
    )
    assert committed.effective == b"\0\1"
    assert committed.is_stale
    assert [stored.message.payload for stored in committed.outbox] == ["yes"]
    assert [enrollment for enrollment, _ in await tables.achievements()] == ["e-2"]


@pytest.mark.parametrize("other", [{"contact_id": "bob"}, {"workflow_id": "w-2"}])
async def test_id_of_another_contact_or_workflow_is_a_conflict(
    store: ShardStore, other: dict[str, str]
) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(Effect("e-1")))
    committed = await store.commit(
        lease,
        change(Effect("e-0"), Effect("e-1", **other), Effect("e-2")),  # type: ignore[arg-type]
    )
    assert committed.effective == b"\1\0\1"
    assert list(committed.conflicts) == [Conflict(1, "ann", "w-1", is_active=True)]
    assert not committed.is_stale


async def test_conflict_says_that_the_owner_has_ended(store: ShardStore) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(Effect("e-1", status="exited", ended_at=NOON)))
    committed = await store.commit(lease, change(Effect("e-1", workflow_id="w-2")))
    assert list(committed.conflicts) == [Conflict(0, "ann", "w-1", is_active=False)]


async def test_id_in_another_shards_slot_is_a_conflict(tables: Tables) -> None:
    low, high = tables.store(), tables.store()
    low_lease, high_lease = await low.acquire(LOW, "a"), await high.acquire(HIGH, "b")
    await high.commit(high_lease, change(Effect("e-1", contact_id="bob", slot=200)))
    committed = await low.commit(low_lease, change(Effect("e-1", slot=3)))
    conflict = Conflict(0, "", "", is_active=False)
    assert (committed.effective, list(committed.conflicts)) == (b"\0", [conflict])
    assert (await tables.enrollments())["e-1"][0] == "bob"


async def test_same_id_of_another_tenant_is_another_enrollment(store: ShardStore) -> None:
    lease = await store.acquire(ALL, "a")
    committed = await store.commit(
        lease, change(Effect("e-1"), Effect("e-1", tenant_id="other", contact_id="zoe"))
    )
    assert committed.effective == b"\1\1"


async def test_active_row_missing_in_memory_makes_the_cache_stale(store: ShardStore) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(Effect("e-1")))
    committed = await store.commit(lease, change(Effect("e-1", status="exited", ended_at=NOON)))
    assert (committed.effective, committed.is_stale) == (b"\0", True)


async def test_goals_met_one_by_one_are_all_kept(tables: Tables, store: ShardStore) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(Effect("e-1")))
    for goal in ("x", "y"):
        await store.commit(
            lease, change(Effect("e-1", is_new=False, met_goals=[goal], achieves=[goal]))
        )
    assert (await tables.enrollments())["e-1"][1:3] == ("active", 2)
    rows = await loaded(store, lease)
    assert f"{goal_id('x')},{goal_id('y')}".encode() in rows


async def test_enrollment_records_its_last_achievement_time_and_types(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(
        lease,
        change(
            Effect("e-1", achieves=["tag_added", "purchase_made"], achieved_at=5), Effect("e-2")
        ),
    )
    assert await tables.met() == {"e-1": (5, 3), "e-2": (None, 0)}
    # An earlier event may arrive later: the greatest time is kept (E6).
    for at, goal in ((-7, "form_submitted"), (9, "tag_added")):
        effect = Effect("e-1", is_new=False, achieves=[goal], achieved_at=at)
        await store.commit(lease, change(effect, Effect("e-2", is_new=False, met_goals=["g"])))
    assert await tables.met() == {"e-1": (9, 11), "e-2": (None, 0)}


async def test_ended_enrollment_meets_no_more_types(tables: Tables, store: ShardStore) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(goal_met("e-1", is_new=True)))
    late = Effect("e-1", is_new=False, achieves=["form_submitted"], achieved_at=NOON + 9 * SECOND)
    await store.commit(lease, change(late))
    assert await tables.met() == {"e-1": (NOON + SECOND, 1)}


# Refused content


async def test_refused_row_says_why_and_nothing_of_its_batch_is_written(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    await tables.refuse("zoe")
    with pytest.raises(ContentRefused, match="23514"):
        await store.commit(
            lease, change(goal_met("e-1", is_new=True), Effect("e-2", contact_id="zoe"))
        )
    assert await tables.enrollments() == {}
    assert await tables.achievements() == []
    # The lease and the connection remain usable.
    assert (await store.commit(lease, change(Effect("e-1")))).effective == b"\1"


# Acknowledged exits


async def test_first_acknowledgement_of_an_exit_is_kept(tables: Tables, store: ShardStore) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(goal_met("e-1", is_new=True), Effect("e-2")))
    acknowledged = ("acme", "e-1", "ann", "w-1", 3)
    await store.commit(
        lease,
        change(
            acknowledgements=[
                (*acknowledged, 2, NOON),
                (*acknowledged, 9, NOON + 1),
                ("acme", "e-2", "ann", "w-1", 3, 5, NOON),
                ("other", "e-1", "ann", "w-1", 3, 5, NOON),
            ]
        ),
    )
    await store.commit(lease, change(acknowledgements=[(*acknowledged, 7, NOON)]))
    rows = await tables.enrollments()
    assert rows["e-1"][3] == (2, 1)
    assert rows["e-2"][3] == (None, 0)
