"""The contract of `ShardStore` for deleted contacts, in memory and in Postgres."""

from dataclasses import replace

import pytest
from tests.contract.store_backends import Tables
from tests.support.pipeline.changes import NOON, SECOND, Effect, change, goal_met

from goald.domain.slots import SlotRange
from goald.ports.shard_store import ShardStore

ALL = SlotRange(0, 255)
DAY = 86_400 * SECOND
DELETED = ("acme", "ann", 3, NOON + SECOND)


def is_pseudonym(contact: str) -> bool:
    return contact.startswith("erased:") and contact != "erased:"


async def test_deleted_contact_is_replaced_by_one_pseudonym(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(goal_met("e-1", is_new=True), Effect("e-9", contact_id="bob")))
    cancelled = Effect("e-2", status="cancelled", ended_at=NOON + SECOND)
    committed = await store.commit(lease, change(cancelled, deletions=[DELETED]))
    assert not committed.is_stale
    await tables.erase_rows()
    rows = await tables.enrollments()
    assert rows["e-9"][0] == "bob"
    assert rows["e-1"][0] == rows["e-2"][0]
    assert is_pseudonym(rows["e-1"][0])
    assert (rows["e-1"][1], rows["e-2"][1]) == ("completed_goal", "cancelled")


async def test_event_after_the_deletion_of_an_earlier_enrollment_is_erased(
    tables: Tables, store: ShardStore
) -> None:
    """An event may be dated up to a day ahead, and be processed before the deletion."""
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(replace(goal_met("e-1", is_new=True), achieved_at=NOON + DAY)))
    await store.commit(lease, change(deletions=[DELETED]))
    await tables.erase_rows()
    assert await tables.achievements() == [("e-1", "{}")]


async def test_enrollment_after_the_deletion_is_kept(tables: Tables, store: ShardStore) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(deletions=[DELETED]))
    later = replace(goal_met("e-1", is_new=True, messages=("exit",)), enrolled_at=NOON + 2 * SECOND)
    assert (await store.commit(lease, change(later))).effective == b"\1"
    await store.commit(lease, change(deletions=[DELETED]))  # read twice
    await tables.erase_rows()
    assert (await tables.enrollments())["e-1"][0] == "ann"
    assert await tables.achievements() == [("e-1", '{"tag_name":"g"}')]
    assert await tables.payloads() == ["exit"]


async def test_late_enrollment_of_a_deleted_contact_is_stored_erased_and_cancelled(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(deletions=[DELETED]))
    late = change(
        Effect("e-1"), goal_met("e-2", is_new=True, messages=("exit",)), Effect("e-3", "bob")
    )
    for effective in (b"\0\0\1", b"\0\0\0"):
        committed = await store.commit(lease, late)
        assert (committed.effective, list(committed.conflicts)) == (effective, [])
        assert committed.outbox == []
    rows = await tables.enrollments()
    assert rows["e-3"][0] == "bob"
    for late_id in ("e-1", "e-2"):
        assert is_pseudonym(rows[late_id][0])
        assert rows[late_id][1:3] == ("cancelled", 0)
    assert await tables.achievements() == []


async def test_tombstones_are_found_by_the_next_holder_of_the_slots(
    tables: Tables, store: ShardStore
) -> None:
    await store.commit(await store.acquire(ALL, "a"), change(deletions=[DELETED]))
    next_store = tables.store()
    committed = await next_store.commit(await next_store.acquire(ALL, "b"), change(Effect("e-1")))
    assert committed.effective == b"\0"
    assert is_pseudonym((await tables.enrollments())["e-1"][0])


async def test_greatest_time_of_several_deletions_counts(tables: Tables, store: ShardStore) -> None:
    lease = await store.acquire(ALL, "a")
    for at in (NOON + 9 * SECOND, NOON - 9 * SECOND):
        await store.commit(lease, change(deletions=[("acme", "ann", 3, at)]))
    assert (await store.commit(lease, change(Effect("e-1")))).effective == b"\0"


async def test_deletion_of_another_tenants_contact_changes_nothing(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(Effect("e-1")))
    await store.commit(lease, change(deletions=[("other", "ann", 3, NOON + SECOND)]))
    assert (await store.commit(lease, change(Effect("e-2")))).effective == b"\1"
    assert {row[0] for row in (await tables.enrollments()).values()} == {"ann"}


@pytest.mark.parametrize("is_rewritten", [False, True])
async def test_repeated_events_of_an_erased_enrollment_are_no_conflict(
    tables: Tables, store: ShardStore, is_rewritten: bool
) -> None:
    """A conflict would be dead-lettered, with its personal data."""
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(Effect("e-1", status="exited", ended_at=NOON + SECOND)))
    await store.commit(lease, change(deletions=[DELETED]))
    if is_rewritten:
        await tables.erase_rows()
    ended = Effect("e-1", status="exited", enrolled_at=NOON + DAY, ended_at=NOON + DAY)
    for again in (Effect("e-1"), ended):
        committed = await store.commit(lease, change(again))
        assert (committed.effective, list(committed.conflicts)) == (b"\0", [])
    other = (await store.commit(lease, change(Effect("e-1", contact_id="bob")))).conflicts
    assert [conflict.effect for conflict in other] == [0]


async def test_conflict_with_an_erased_enrollment_reports_the_contact(
    tables: Tables, store: ShardStore
) -> None:
    """An event of the same batch that names the right workflow is recognized by the contact."""
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(Effect("e-1"), deletions=[DELETED]))
    await tables.erase_rows()
    wrong = Effect("e-1", workflow_id="w-2", enrolled_at=NOON + DAY)
    (conflict,) = (await store.commit(lease, change(wrong))).conflicts
    assert (conflict.contact, conflict.workflow) == ("ann", "w-1")


@pytest.mark.parametrize("is_finished", [False, True])
async def test_owner_of_an_erased_enrollment_is_recognized_behind_another_contact(
    tables: Tables, store: ShardStore, is_finished: bool
) -> None:
    """Its event would be dead-lettered, although it only repeats what is known."""
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(Effect("e-1"), deletions=[DELETED]))
    await tables.erase_rows()
    if is_finished:
        await tables.forget_pseudonyms()
    claimed = Effect("e-1", contact_id="bob", enrolled_at=NOON + DAY)
    contenders = [(0, "zoe", "w-1"), (0, "ann", "w-1")]
    (conflict,) = (await store.commit(lease, change(claimed, contenders=contenders))).conflicts
    assert conflict == (0, "ann", "w-1", False)


async def test_contact_with_the_pseudonym_precedes_one_whose_pseudonym_is_forgotten(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(deletions=[("acme", "bob", 3, NOON + SECOND)]))
    await tables.forget_pseudonyms()
    await store.commit(lease, change(Effect("e-1"), deletions=[DELETED]))
    await tables.erase_rows()
    claimed = change(Effect("e-1", contact_id="bob"), contenders=[(0, "ann", "w-1")])
    (conflict,) = (await store.commit(lease, claimed)).conflicts
    assert conflict == (0, "ann", "w-1", False)


async def test_enrollment_of_which_only_the_end_is_known_is_erased(
    tables: Tables, store: ShardStore
) -> None:
    """It may have begun before the deletion."""
    lease = await store.acquire(ALL, "a")
    ended = Effect("e-1", status="exited", enrolled_at=NOON + DAY, ended_at=NOON + DAY)
    await store.commit(lease, change(ended, deletions=[DELETED]))
    await tables.erase_rows()
    assert is_pseudonym((await tables.enrollments())["e-1"][0])


@pytest.mark.parametrize("is_repeated", [False, True])
async def test_enrollment_that_ended_when_it_began_after_the_deletion_is_kept(
    tables: Tables, store: ShardStore, is_repeated: bool
) -> None:
    """Its start is known."""
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(deletions=[DELETED]))
    began = NOON + 2 * SECOND
    await store.commit(lease, change(Effect("e-9", enrolled_at=began)))
    ended = Effect("e-9", is_new=False, status="exited", enrolled_at=began, ended_at=began)
    in_one_group = replace(ended, enrollment_id="e-8", is_new=True, received_at=began)
    await store.commit(lease, change(ended, in_one_group))
    if is_repeated:
        await store.commit(lease, change(deletions=[DELETED]))
    await tables.erase_rows()
    rows = await tables.enrollments()
    assert (rows["e-9"][0], rows["e-8"][0]) == ("ann", "ann")


async def test_active_row_that_memory_lacks_is_cancelled_by_the_rewrite(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(Effect("e-1")))
    assert not (await store.commit(lease, change(deletions=[DELETED]))).is_stale
    await tables.erase_rows()
    assert (await tables.enrollments())["e-1"][1] == "cancelled"
    ended = Effect("e-1", is_new=False, status="exited", ended_at=NOON + DAY)
    assert (await store.commit(lease, change(ended))).is_stale


async def test_enrollment_dated_ahead_is_of_the_contact_that_was_deleted_after_its_start_arrived(
    tables: Tables, store: ShardStore
) -> None:
    """It is cancelled without an exit. Memory, which has it as active, is stale."""
    lease = await store.acquire(ALL, "a")
    ahead = Effect("e-1", enrolled_at=NOON + DAY, received_at=NOON)
    met = replace(goal_met("e-2", is_new=True), enrolled_at=NOON + DAY, received_at=NOON)
    await store.commit(lease, change(ahead, met))
    assert (await store.commit(lease, change(deletions=[DELETED]))).is_stale
    assert (await tables.enrollments())["e-1"][1] == "cancelled"
    assert not (await store.commit(lease, change(deletions=[DELETED]))).is_stale
    await tables.erase_rows()
    rows = await tables.enrollments()
    assert is_pseudonym(rows["e-1"][0])
    assert is_pseudonym(rows["e-2"][0])
    assert await tables.achievements() == [("e-2", "{}")]


@pytest.mark.parametrize("is_finished", [False, True])
async def test_start_dated_ahead_that_is_received_again_after_the_deletion_changes_nothing(
    tables: Tables, store: ShardStore, is_finished: bool
) -> None:
    """Its second receipt is after the deletion, as if it were of a new contact."""
    lease = await store.acquire(ALL, "a")
    ahead = Effect("e-1", enrolled_at=NOON + DAY, received_at=NOON)
    await store.commit(lease, change(ahead))
    await store.commit(lease, change(deletions=[DELETED]))
    for _ in range(2):
        again = change(replace(ahead, received_at=NOON + 2 * SECOND))
        committed = await store.commit(lease, again)
        assert (committed.effective, list(committed.conflicts)) == (b"\0", [])
        assert not committed.is_stale
        assert (await tables.enrollments())["e-1"][1] == "cancelled"
        await tables.erase_rows()
        if is_finished:
            await tables.forget_pseudonyms()
    assert is_pseudonym((await tables.enrollments())["e-1"][0])


async def test_enrollment_dated_ahead_whose_start_arrived_after_the_deletion_is_kept(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    ahead = Effect("e-1", enrolled_at=NOON + DAY, received_at=NOON + 2 * SECOND)
    await store.commit(lease, change(ahead))
    assert not (await store.commit(lease, change(deletions=[DELETED]))).is_stale
    await tables.erase_rows()
    assert (await tables.enrollments())["e-1"][:2] == ("ann", "active")


async def test_exit_is_acknowledged_after_its_contact_was_erased(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(goal_met("e-1", is_new=True)))
    await store.commit(lease, change(deletions=[DELETED]))
    await tables.erase_rows()
    await store.commit(lease, change(acknowledgements=[("acme", "e-1", "ann", "w-1", 3, 2, NOON)]))
    assert (await tables.enrollments())["e-1"][3] == (2, 1)


async def test_deleted_contacts_payloads_are_redacted_once_published(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    first = await store.commit(lease, change(goal_met("e-1", is_new=True, messages=("sent",))))
    await store.outbox.mark_published(lease, [stored.number for stored in first.outbox])
    other = Effect("e-9", contact_id="bob", achieves=["g"], messages=["bob's"])
    await store.commit(lease, change(other))
    deleted = await store.commit(
        lease,
        change(
            goal_met("e-2", is_new=True, messages=("not sent",)),
            deletions=[("acme", "ann", 3, NOON + SECOND)],
        ),
    )
    await tables.erase_rows()
    assert await tables.payloads() == ["", "bob's", "not sent"]
    await store.outbox.mark_published(lease, [stored.number for stored in deleted.outbox])
    assert await tables.payloads() == ["", "bob's", ""]
    assert await tables.achievements() == [
        ("e-1", "{}"),
        ("e-2", "{}"),
        ("e-9", '{"tag_name":"g"}'),
    ]
