"""The contract of used events: one event counts in one run of a contact (E11)."""

from dataclasses import replace

import pytest
from tests.contract.store_backends import Tables
from tests.support.pipeline.changes import NOON, SECOND, Effect, change, goal_id

from goald.domain.errors import LeaseLost
from goald.domain.leases import SlotLease
from goald.domain.slots import SlotRange
from goald.ports.change import EndedRun
from goald.ports.shard_store import EventCheck, ShardStore

ALL = SlotRange(0, 255)
ENDS = {"status": "completed_goal", "ended_at": NOON + SECOND, "met_goals": ["g"]}
EXCLUDING = b"\3"
DELETED = ("acme", "ann", 3, NOON + SECOND)


def check(enrollment: str, event: str = "pay-1", **ids: str) -> EventCheck:
    tenant, contact = ids.get("tenant", "acme"), ids.get("contact", "ann")
    workflow = ids.get("workflow", "w-1")
    return EventCheck(tenant, contact, workflow, enrollment, goal_id(event), NOON)


async def excluded(store: ShardStore, lease: SlotLease, *checks: EventCheck) -> set[str]:
    return {each.enrollment_id for each in await store.excluded(lease, checks)}


async def use(store: ShardStore, lease: SlotLease, enrollment: str = "run-1") -> None:
    """`pay-1` ends a run."""
    await store.commit(lease, change(Effect(enrollment)))
    ended = Effect(enrollment, is_new=False, uses=["pay-1"], **ENDS)  # type: ignore[arg-type]
    assert (await store.commit(lease, change(ended))).effective == b"\1"


async def test_event_that_counted_is_excluded_for_a_later_run(store: ShardStore) -> None:
    lease = await store.acquire(ALL, "a")
    await use(store, lease)
    assert await excluded(store, lease, check("run-2"), check("run-2", "pay-2")) == {"run-2"}
    committed = await store.commit(lease, change(Effect("run-2"), Effect("run-x", "bob")))
    assert committed.effective == EXCLUDING + b"\1"
    checks = [check("run-2"), check("run-x", contact="bob")]
    assert await excluded(store, lease, *checks) == {"run-2"}
    assert await excluded(store, lease, check("run-2", "pay-2")) == set()


async def test_event_is_not_excluded_for_runs_that_had_started_when_it_counted(
    store: ShardStore,
) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(Effect("run-1"), Effect("run-0")))
    met = Effect("run-0", is_new=False, met_goals=["g"], uses=["pay-1"])
    await store.commit(lease, change(met))
    assert await excluded(store, lease, check("run-0"), check("run-1")) == set()


async def test_event_is_not_excluded_in_other_workflows_contacts_and_tenants(
    store: ShardStore,
) -> None:
    lease = await store.acquire(ALL, "a")
    await use(store, lease)
    others = [
        check("e-1", workflow="w-2"),
        check("e-2", contact="bob"),
        check("e-3", tenant="globex"),
    ]
    assert await excluded(store, lease, *others) == set()


async def test_use_in_the_same_commit_is_excluded_for_the_runs_that_started_after_it(
    store: ShardStore,
) -> None:
    lease = await store.acquire(ALL, "a")
    committed = await store.commit(
        lease,
        change(
            Effect("run-1", uses=["pay-1", "pay-2"], **ENDS),  # type: ignore[arg-type]
            Effect("run-2", after_event="pay-1"),
            Effect("run-3", after_event="pay-2"),
            Effect("run-4"),
        ),
    )
    assert committed.effective == b"\1\3\3\1"
    first = [check(f"run-{number}") for number in (2, 3, 4)]
    assert await excluded(store, lease, *first) == {"run-2", "run-3"}
    second = [check(f"run-{number}", "pay-2") for number in (2, 3, 4)]
    assert await excluded(store, lease, *second) == {"run-3"}


async def test_event_of_an_effect_that_changes_nothing_is_not_used(store: ShardStore) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(Effect("run-1", status="exited", ended_at=NOON)))
    ended = Effect("run-1", is_new=False, uses=["pay-1"], **ENDS)  # type: ignore[arg-type]
    assert (await store.commit(lease, change(ended))).effective == b"\0"
    assert await excluded(store, lease, check("run-2")) == set()


async def test_event_that_started_a_run_is_excluded_for_it(store: ShardStore) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(Effect("run-1", started_by="pay-1"), Effect("run-2")))
    assert await excluded(store, lease, check("run-1"), check("run-2")) == {"run-1"}


async def test_erased_contact_leaves_no_used_events(store: ShardStore) -> None:
    lease = await store.acquire(ALL, "a")
    await use(store, lease)
    await store.commit(lease, change(deletions=[("acme", "ann", 3, NOON + SECOND)]))
    assert await excluded(store, lease, check("run-2")) == set()


async def test_repeated_deletion_keeps_what_the_new_contact_used(store: ShardStore) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(deletions=[("acme", "ann", 3, NOON - SECOND)]))
    await use(store, lease)
    await store.commit(lease, change(deletions=[("acme", "ann", 3, NOON - SECOND)]))
    assert await excluded(store, lease, check("run-2")) == {"run-2"}


async def test_deletion_keeps_what_an_active_run_of_a_later_contact_excludes(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    await use(store, lease)
    await store.commit(lease, change(Effect("run-2", enrolled_at=NOON + 2 * SECOND)))
    await store.commit(lease, change(deletions=[DELETED]))
    for _ in range(2):
        assert await excluded(store, lease, check("run-2")) == {"run-2"}
        await tables.erase_rows()


async def test_run_after_the_deletion_ignores_what_the_deleted_contact_used(
    tables: Tables, store: ShardStore
) -> None:
    """Also before the rows are erased, and if it excludes events of the new contact."""
    lease = await store.acquire(ALL, "a")
    await use(store, lease)
    await store.commit(lease, change(deletions=[DELETED]))
    later = {"enrolled_at": NOON + 2 * SECOND}
    committed = await store.commit(lease, change(Effect("run-2", **later)))  # type: ignore[arg-type]
    assert committed.effective == b"\1"
    met = Effect("run-2", is_new=False, met_goals=["g"], uses=["pay-2"], **later)  # type: ignore[arg-type]
    await store.commit(lease, change(met))
    committed = await store.commit(lease, change(Effect("run-3", **later)))  # type: ignore[arg-type]
    assert committed.effective == EXCLUDING
    await store.commit(lease, change(deletions=[DELETED]))
    for _ in range(2):
        old = [check(f"run-{number}") for number in (2, 3, 4)]
        assert await excluded(store, lease, *old) == set()
        new = [check(f"run-{number}", "pay-2") for number in (2, 3, 4)]
        assert await excluded(store, lease, *new) == {"run-3", "run-4"}
        await tables.erase_rows()


async def test_deletion_forgets_what_a_run_that_was_dated_ahead_of_it_used(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    ahead = NOON + 60 * SECOND
    await store.commit(lease, change(Effect("run-1", enrolled_at=ahead, received_at=NOON)))
    ended = Effect(
        "run-1", status="completed_goal", is_new=False, enrolled_at=ahead, ended_at=ahead,
        met_goals=["g"], uses=["pay-1"],
    )  # fmt: skip
    await store.commit(lease, change(ended))
    await store.commit(lease, change(deletions=[DELETED]))
    for _ in range(2):
        assert await excluded(store, lease, check("run-2")) == set()
        await tables.erase_rows()


async def test_replaced_holder_learns_nothing(tables: Tables) -> None:
    old, new = tables.store(), tables.store()
    lease = await old.acquire(ALL, "a")
    await new.acquire(ALL, "b")
    with pytest.raises(LeaseLost):
        await old.excluded(lease, [check("run-1")])


async def test_repeated_start_learns_when_the_ended_run_began(store: ShardStore) -> None:
    lease = await store.acquire(ALL, "a")
    ended = Effect("run-1", status="exited", ended_at=NOON + SECOND)
    only_end = Effect("run-2", status="exited", ended_at=NOON)
    await store.commit(lease, change(ended, only_end, Effect("run-3")))
    again = [Effect(f"run-{number}", enrolled_at=NOON + SECOND) for number in (1, 2, 3)]
    committed = await store.commit(lease, change(*again))
    assert list(committed.ended) == [EndedRun(0, NOON, None), EndedRun(1, NOON, NOON)]


async def test_start_of_a_run_that_ended_when_it_began_is_known(store: ShardStore) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(Effect("run-1")))
    ended = Effect("run-1", is_new=False, status="exited", ended_at=NOON)
    in_one_group = replace(ended, enrollment_id="run-2", is_new=True, received_at=NOON)
    await store.commit(lease, change(ended, in_one_group))
    again = [Effect(f"run-{number}", enrolled_at=NOON - SECOND) for number in (1, 2)]
    committed = await store.commit(lease, change(*again))
    assert list(committed.ended) == [EndedRun(0, NOON, None), EndedRun(1, NOON, None)]


async def test_repeated_start_learns_when_its_contact_was_deleted(store: ShardStore) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(Effect("run-1")))
    cancelled = Effect("run-1", is_new=False, status="cancelled", ended_at=NOON + SECOND)
    await store.commit(lease, change(cancelled, deletions=[DELETED]))
    committed = await store.commit(lease, change(Effect("run-1", enrolled_at=NOON - SECOND)))
    assert list(committed.ended) == [EndedRun(0, NOON, NOON + SECOND)]
