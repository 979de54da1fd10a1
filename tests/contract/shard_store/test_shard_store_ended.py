"""The contract of enrollments that have ended, and that later events may still count for (E18)."""

from dataclasses import replace
from typing import Any

import pytest
from tests.contract.store_backends import Tables
from tests.support.pipeline.changes import NOON, SECOND, Effect, change, goal_id

from goald._native import with_contact
from goald.adapters.postgres.shard.merging import transfers
from goald.domain.ids import TenantId
from goald.domain.leases import SlotLease
from goald.domain.slots import SlotRange, slot_of
from goald.ports.change import Change, ContactMerge
from goald.ports.shard_store import (
    ENDED_OF_CONTACT,
    EndedCheck,
    EndPosition,
    RunEnd,
    ShardStore,
    WatchedRuns,
)

ALL = SlotRange(0, 255)
ACME = TenantId("acme")
LAST = EndPosition(NOON + 10**12)
MERGED_AT = NOON + 10**9


def ended(enrollment: str, after: int = 1, **values: Any) -> Effect:
    """A new enrollment that has ended, this many seconds after it began."""
    given: dict[str, Any] = {"status": "exited", "ended_at": NOON + after * SECOND}
    return Effect(enrollment, **(given | values))


def late(enrollment: str, goal: str, **values: Any) -> Effect:
    """An enrollment meets a goal after its end."""
    given: dict[str, Any] = {"is_new": False, "after_end": True, "status": "exited"}
    given |= {"met_goals": [goal], "achieves": [goal], "uses": [f"pay-{goal}"]}
    return Effect(enrollment, **(given | values))


def check(event: str = "pay-1", contact: str = "ann", workflow: str = "w-1") -> EndedCheck:
    return EndedCheck("acme", contact, workflow, goal_id(event), NOON + 10**12, NOON, NOON)


async def found(store: ShardStore, lease: SlotLease, *checks: EndedCheck) -> set[str]:
    answer = await store.ended(lease, checks or [check()])
    return {run.enrollment_id for runs in answer.runs.values() for run in runs}


async def write(store: ShardStore, lease: SlotLease, *effects: Effect) -> bytes:
    return (await store.commit(lease, change(*effects))).effective


async def test_goals_are_met_after_the_end_once(tables: Tables, store: ShardStore) -> None:
    """A repeated commit changes nothing, and an enrollment whose goals are all met meets none."""
    lease = await store.acquire(ALL, "a")
    await write(store, lease, ended("e-1"))
    before = await tables.met()
    assert await write(store, lease, late("e-1", "a")) == b"\1"
    assert await write(store, lease, late("e-1", "a")) == b"\0"
    assert await write(store, lease, late("e-1", "b", ended_at=NOON + 5)) == b"\1"
    assert await write(store, lease, late("e-1", "c")) == b"\0"
    contact, status, goals, _ = (await tables.enrollments())["e-1"]
    assert (contact, status, goals) == ("ann", "exited", 2)
    assert await tables.met() == before
    assert [row for row, _ in await tables.achievements()] == ["e-1", "e-1"]
    assert await found(store, lease) == set()


async def test_an_enrollment_that_has_met_its_goals_before_its_end_meets_no_new_one(
    tables: Tables, store: ShardStore
) -> None:
    """The others were deleted. The event counts, without an achievement."""
    lease = await store.acquire(ALL, "a")
    await write(store, lease, ended("e-1", met_goals=["a"]))
    again = late("e-1", "a", met_goals=[], achieves=[], ended_at=NOON + 5)
    assert await write(store, lease, again) == b"\1"
    assert await write(store, lease, again) == b"\0"
    assert await tables.achievements() == []
    assert await found(store, lease) == set()
    assert set((await store.ended(lease, [check("pay-a")])).counted) == {check("pay-a")}


@pytest.mark.parametrize(
    "effect",
    [
        late("active", "a"),
        late("met", "a"),
        late("e-1", "a", contact_id="bob"),
        late("e-1", "a", workflow_id="w-2"),
        late("unknown", "a"),
    ],
    ids=["active", "completed by goals", "other contact", "other workflow", "unknown"],
)
async def test_other_enrollments_meet_no_goals_after_their_end(
    tables: Tables, store: ShardStore, effect: Effect
) -> None:
    lease = await store.acquire(ALL, "a")
    met = ended("met", status="completed_goal")
    await write(store, lease, ended("e-1"), Effect("active"), met)
    committed = await store.commit(lease, change(effect))
    assert (committed.effective, committed.is_stale) == (b"\0", False)
    assert await tables.achievements() == []


async def test_an_enrollment_that_the_same_change_ends_can_meet_goals(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    await write(store, lease, Effect("e-1"))
    end = replace(ended("e-1"), is_new=False)
    assert await write(store, lease, end, late("e-1", "a")) == b"\1\1"
    new = ended("e-2"), late("e-2", "a")
    assert await write(store, lease, *new) == b"\1\1"
    assert (await tables.enrollments())["e-1"][1:3] == ("exited", 1)


async def test_enrollments_are_found_by_contact_and_workflow(store: ShardStore) -> None:
    lease = await store.acquire(ALL, "a")
    await write(
        store,
        lease,
        ended("e-1", 5, match_values='{"cart": "c-1"}', started_by="ad", received_at=NOON - SECOND),
        ended("e-2", 3, workflow_id="w-2"),
        ended("e-3", contact_id="bob"),
        ended("end only", 0),
        ended("met", status="completed_goal"),
        Effect("active"),
    )
    answer = await store.ended(lease, [check(), check("pay-2")])
    (run,) = answer.runs["acme", "ann", "w-1"]
    assert run == (
        "e-1", "exited", NOON, NOON + 5 * SECOND, NOON - SECOND, [], '{"cart": "c-1"}',
        goal_id("ad"), [],
    )  # fmt: skip
    assert len(answer.runs) == 1
    others = check(workflow="w-2"), check(contact="bob")
    assert await found(store, lease, *others) == {"e-2", "e-3"}


async def test_enrollments_that_ended_when_they_began_are_found_if_their_start_is_known(
    store: ShardStore,
) -> None:
    lease = await store.acquire(ALL, "a")
    await write(store, lease, Effect("e-1"), Effect("e-2"), ended("end only", 0))
    ends = replace(ended("e-1", 0), is_new=False), replace(ended("e-2", -1), is_new=False)
    await write(store, lease, *ends, ended("e-3", 0, received_at=NOON))
    early = check()._replace(first_start=NOON - SECOND, first_end=NOON - SECOND)
    assert await found(store, lease, early) == {"e-1", "e-2", "e-3"}


async def test_a_merge_does_not_make_the_start_of_an_ended_enrollment_known(
    store: ShardStore,
) -> None:
    lease = await store.acquire(ALL, "a")
    slot = slot_of("acme", "ann")
    await write(store, lease, ended("end only", 0, slot=slot), ended("e-1", 5, slot=slot))
    await store.commit(lease, _merge())
    (transfer,) = await store.transfers(lease)
    while await store.adopt(lease, transfer, with_contact):
        pass
    assert await found(store, lease, check(contact="bea")) == {"e-1"}


async def test_events_that_counted_in_the_workflow_are_named(store: ShardStore) -> None:
    lease = await store.acquire(ALL, "a")
    await write(store, lease, ended("e-1"), late("e-1", "1"))
    checks = [check("pay-1"), check("pay-2"), check("pay-1", workflow="w-2")]
    assert set((await store.ended(lease, checks)).counted) == {check("pay-1")}


async def test_the_latest_enrollments_of_a_contact_are_read(store: ShardStore) -> None:
    """At any number of ended ones (D8)."""
    lease = await store.acquire(ALL, "a")
    rows = [ended(f"e-{number}", number + 1) for number in range(ENDED_OF_CONTACT + 20)]
    await write(store, lease, *rows)
    assert await found(store, lease) == {f"e-{n}" for n in range(20, ENDED_OF_CONTACT + 20)}


async def test_enrollments_that_ended_too_early_for_the_events_are_not_read(
    store: ShardStore,
) -> None:
    lease = await store.acquire(ALL, "a")
    await write(store, lease, ended("e-1", 2), ended("e-2", 5), ended("e-3", 9))
    first, second = (
        check(event)._replace(first_start=NOON + after * SECOND, first_end=NOON + 20 * SECOND)
        for event, after in (("pay-1", 5), ("pay-2", 6))
    )
    assert await found(store, lease, first, second) == {"e-2", "e-3"}
    assert await found(store, lease, second) == {"e-3"}


async def test_enrollments_of_a_deleted_contact_are_not_found(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    later = {"enrolled_at": NOON + 5 * SECOND, "ended_at": NOON + 9 * SECOND}
    await write(store, lease, ended("e-1", 2), ended("e-2", **later))
    await store.commit(lease, change(deletions=[("acme", "ann", 3, NOON + 3 * SECOND)]))
    assert await found(store, lease) == {"e-2"}
    await tables.erase_rows()
    assert await found(store, lease) == {"e-2"}


async def test_an_erasure_includes_what_was_met_after_the_end(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    await write(store, lease, ended("e-1"), late("e-1", "a"))
    await store.commit(lease, change(deletions=[("acme", "ann", 3, NOON + 3 * SECOND)]))
    await tables.erase_rows()
    assert await tables.achievements() == [("e-1", "{}")]
    assert (await tables.enrollments())["e-1"][0] != "ann"


async def test_ends_are_read_in_pages_from_the_latest_on(store: ShardStore) -> None:
    """Also if they have one time."""
    lease = await store.acquire(ALL, "a")
    rows = [ended(f"e-{number}", 7) for number in range(5)]
    others = Effect("active"), ended("met", status="completed_goal"), ended("first", 1)
    await write(store, lease, *rows, *others, ended("other", 9, contact_id="bob"))
    read: list[RunEnd] = []
    while page := await store.ends(
        lease, ACME, {3: read[-1].position if read else LAST}, NOON + 2 * SECOND, 2
    ):
        read += page
    at = NOON + 7 * SECOND
    of_ann = [RunEnd(3, EndPosition(at, f"e-{number}"), "ann") for number in (4, 3, 2, 1, 0)]
    assert read == [RunEnd(3, EndPosition(NOON + 9 * SECOND, "other"), "bob"), *of_ann]


async def test_ends_are_read_by_tenant_and_slot_each_from_its_position(store: ShardStore) -> None:
    lease = await store.acquire(ALL, "a")
    rows = [ended(f"e-{slot}-{n}", n, slot=slot) for slot in (3, 9, 11) for n in (1, 2, 3)]
    await write(store, lease, *rows, ended("other", 1, tenant_id="other"))
    before = {3: LAST, 9: EndPosition(NOON + 3 * SECOND, "e-9-3")}
    page = await store.ends(lease, ACME, before, 0, 2)
    found = [end.position.enrollment_id for end in page]
    assert sorted(found) == ["e-3-2", "e-3-3", "e-9-1", "e-9-2"]
    assert await store.ends(lease, TenantId("third"), before, 0, 2) == []


async def test_ends_of_erased_contacts_are_not_read(tables: Tables, store: ShardStore) -> None:
    """Nor those that were stored after their contact was deleted."""
    lease = await store.acquire(ALL, "a")
    await write(store, lease, ended("e-1"), ended("e-2", contact_id="bob"))
    await store.commit(lease, change(deletions=[("acme", "ann", 3, NOON + 3 * SECOND)]))
    await tables.erase_rows()
    await write(store, lease, ended("e-3"))
    page = await store.ends(lease, ACME, {3: LAST}, 0, 10)
    assert [end.contact_id for end in page] == ["bob"]


async def test_no_watched_enrollment_is_left_behind_by_a_merge(
    store: ShardStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a contact with many, the latest ones move with the merge, the others in pages."""
    monkeypatch.setattr(transfers, "PAGE_ROWS", ENDED_OF_CONTACT)
    lease = await store.acquire(ALL, "a")
    slot = slot_of("acme", "ann")
    numbers = range(ENDED_OF_CONTACT + 20)
    # The oldest are inserted last.
    rows = [ended(f"e-{n}", n + 1, slot=slot) for n in reversed(numbers)]
    await write(store, lease, *rows)
    await store.commit(lease, _merge())
    (transfer,) = await store.transfers(lease)
    while await store.adopt(lease, transfer, with_contact):
        pass
    expected = {f"e-{n}" for n in numbers[20:]}
    assert await found(store, lease, check(contact="bea")) == expected
    while await store.move_ended(lease, transfer, with_contact):
        pass
    assert await found(store, lease, check(contact="bea")) == expected
    moved = (await store.ended(lease, [check(contact="bea")])).runs["acme", "bea", "w-1"]
    assert {tuple(run.merges) for run in moved} == {(MERGED_AT,)}
    answer: WatchedRuns = await store.ended(lease, [check()])
    assert not answer.runs


def _merge() -> Change:
    slot = slot_of("acme", "ann")
    merge = ContactMerge("acme", "ann", slot, "bea", goal_id("m"), MERGED_AT, MERGED_AT)
    return change(merges=[merge])
