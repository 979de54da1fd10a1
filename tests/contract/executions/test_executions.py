"""The contract of executions: commits with their enrollments, loads, and questions."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from tests.contract.executions.rows import ExecutionRow
from tests.contract.store_backends import Tables
from tests.support.pipeline.changes import NOON, SECOND, Effect, change, goal_id
from tests.support.pipeline.executions import (
    ASLEEP,
    NOON_MS,
    Log,
    Transition,
    executions,
    with_executions,
)

from goald.domain.errors import LeaseLost
from goald.domain.ids import ContactId, TenantId
from goald.domain.leases import SlotLease
from goald.domain.slots import SlotRange
from goald.ports.change import Change
from goald.ports.configuration import WorkflowKey
from goald.ports.executions.change import Answer
from goald.ports.executions.store import (
    EntryCheck,
    EntryFacts,
    ExecutionKey,
    OutstandingJob,
    StoredPlan,
    WaitCheck,
)
from goald.ports.shard_store import ShardStore

ALL = SlotRange(0, 255)
GATE = "0000000001-00000000.7"
RUNNING = Transition(
    "e-1", guard=ASLEEP, state="running", status="ACTIVE", step_id="mail", step_index=2, attempt=1,
    due_ms=None, done_steps=["pause"], gate=GATE,
)  # fmt: skip
IN_FLIGHT = ("mail", 1, 1, "running")
FINISHED = Transition(
    "e-1", 0, IN_FLIGHT, state="running", status="COMPLETED", reason="finished", step_id="",
    step_index=3, due_ms=None, done_steps=["mail"],
)  # fmt: skip
ENDED = Effect("e-1", is_new=False, status="completed", ended_at=NOON + SECOND)


ANN = Transition("")


def starting(*ids: str, like: Transition = ANN) -> Change:
    """Starts of executions that are otherwise like one."""
    of = [replace(like, execution_id=id_, effect=i) for i, id_ in enumerate(ids)]
    effects = [Effect(each.execution_id, contact_id=each.contact_id, slot=each.slot) for each in of]
    return with_executions(effects, *of)


async def started(store: ShardStore, *ids: str) -> SlotLease:
    lease = await store.acquire(ALL, "a")
    committed = await store.commit(lease, starting(*ids))
    assert (committed.effective, committed.transitions) == (b"\1" * len(ids), b"\1" * len(ids))
    assert not committed.is_stale
    return lease


async def loaded(
    store: ShardStore, lease: SlotLease, contacts: Sequence[str] | None = None
) -> bytes:
    pieces: list[bytes] = []
    if contacts is None:
        await store.executions.load(lease, pieces.append)
    else:
        keys = [(TenantId("acme"), ContactId(contact)) for contact in contacts]
        await store.executions.load_contacts(lease, keys, pieces.append)
    return b"".join(pieces)


# Commits


async def test_start_is_written_with_its_enrollment(tables: Tables, store: ShardStore) -> None:
    lease = await store.acquire(ALL, "a")
    start = Transition("e-1", 0, variables='{"code": "x"}')
    await store.commit(lease, with_executions([Effect("e-1")], start))
    rows = await tables.executions()
    assert rows.executions == {
        "e-1": ExecutionRow(
            "ann", 3, "PAUSED", "sleeping", "pause", None, (), 0, None,
            rows.executions["e-1"].variables,
        )
    }  # fmt: skip
    assert (rows.executions["e-1"].variables or "").replace(" ", "") == '{"code":"x"}'
    assert rows.entries == {("ann", "w-1"): (NOON_MS, False)}
    keys = [ExecutionKey("acme", "e-1"), ExecutionKey("acme", "unknown")]
    (begun,) = await store.executions.begun(lease, keys)
    assert (begun.execution_id, begun.started_at_us) == ("e-1", NOON_MS * 1_000)
    assert (begun.variables or "").replace(" ", "") == '{"code":"x"}'


async def test_steps_follow_each_other(tables: Tables, store: ShardStore) -> None:
    lease = await started(store, "e-1", "e-2")
    committed = await store.commit(lease, with_executions([], RUNNING))
    assert (committed.transitions, committed.is_stale) == (b"\1", False)
    row = (await tables.executions()).executions["e-1"]
    assert row[2:9] == ("ACTIVE", "running", "mail", None, ("pause",), 0, GATE)
    committed = await store.commit(lease, with_executions([ENDED], FINISHED))
    assert (committed.effective, committed.transitions) == (b"\1", b"\1")
    rows = await tables.executions()
    row = rows.executions["e-1"]
    assert row[2:9] == ("COMPLETED", "running", "", "finished", ("pause", "mail"), 0, None)
    assert rows.executions["e-2"].status == "PAUSED"
    assert rows.entries == {("ann", "w-1"): (NOON_MS, True)}
    assert (await tables.enrollments())["e-1"][1] == "completed"


@pytest.mark.parametrize(
    "guard",
    [("other", 1, 0, "sleeping"), ("pause", 2, 0, "sleeping"), ("pause", 1, 1, "sleeping"),
     ("pause", 1, 0, "listening")],
)  # fmt: skip
async def test_transition_of_another_row_changes_nothing(
    tables: Tables, store: ShardStore, guard: tuple[str, int, int, str]
) -> None:
    lease = await started(store, "e-1", "e-2")
    before = await tables.executions()
    stale = replace(RUNNING, guard=guard)
    logs = [Log("wait_ended", 0), Log("wait_ended", 1)]
    other = replace(RUNNING, execution_id="e-2")
    committed = await store.commit(lease, with_executions([], stale, other, logs=logs))
    assert (committed.transitions, committed.is_stale) == (b"\0\1", True)
    rows = await tables.executions()
    assert rows.executions["e-1"] == before.executions["e-1"]
    assert rows.executions["e-2"].state == "running"
    assert rows.logs == [("wait_ended", "e-2", None)]


async def test_end_is_not_written_without_its_transition(tables: Tables, store: ShardStore) -> None:
    """The result of another attempt must not end the enrollment."""
    lease = await started(store, "e-1", "e-2")
    end = replace(ENDED, messages=["exit"])
    other = replace(end, enrollment_id="e-2")
    also = replace(FINISHED, execution_id="e-2", effect=1, guard=ASLEEP)
    committed = await store.commit(lease, with_executions([end, other], FINISHED, also))
    assert (committed.effective, committed.transitions) == (b"\0\1", b"\0\1")
    assert committed.is_stale
    statuses = {id_: row[1] for id_, row in (await tables.enrollments()).items()}
    assert statuses == {"e-1": "active", "e-2": "completed"}
    assert (await tables.executions()).executions["e-1"].status == "PAUSED"
    assert await tables.payloads() == ["exit"]


async def test_transition_is_not_written_without_its_end(tables: Tables, store: ShardStore) -> None:
    """The enrollment has ended otherwise: memory is stale."""
    lease = await started(store, "e-1")
    await store.commit(lease, change(ENDED))
    cancelled = replace(FINISHED, guard=ASLEEP, status="CANCELLED", reason="user")
    late = replace(ENDED, status="cancelled")
    committed = await store.commit(lease, with_executions([late], cancelled))
    assert (committed.effective, committed.transitions) == (b"\0", b"\0")
    assert committed.is_stale
    assert (await tables.executions()).executions["e-1"].status == "PAUSED"


async def test_execution_of_an_existing_enrollment_is_not_started(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(Effect("e-1", contact_id="bob")))
    committed = await store.commit(lease, starting("e-1"))
    assert (committed.effective, committed.transitions) == (b"\0", b"\0")
    assert await tables.executions() == ({}, {}, [], {})


async def test_repeated_changes_change_nothing(tables: Tables, store: ShardStore) -> None:
    lease = await store.acquire(ALL, "a")
    answers = [Answer("acme", "r-1", 3, "started", "e-1")]
    changes = [
        replace(
            starting("e-1"),
            executions=executions(
                Transition("e-1", 0), logs=[Log("execution_started", 0)], answers=answers
            ),
        ),
        with_executions([], replace(RUNNING, used_events=["form"]), logs=[Log("wait_ended", 0)]),
        with_executions([ENDED], FINISHED, logs=[Log("execution_completed", 0)]),
    ]
    for each in changes:
        assert (await store.commit(lease, each)).transitions == b"\1"
    before = await tables.executions()
    for each in changes:
        assert (await store.commit(lease, each)).transitions == b"\0"
        assert await tables.executions() == before


async def test_ended_execution_never_changes(tables: Tables, store: ShardStore) -> None:
    lease = await started(store, "e-1")
    cancelled = replace(
        FINISHED, guard=ASLEEP, status="CANCELLED", reason="user", step_id="pause", attempt=0,
        state="sleeping",
    )  # fmt: skip
    await store.commit(lease, with_executions([ENDED], cancelled))
    committed = await store.commit(lease, with_executions([], RUNNING))
    assert (committed.transitions, committed.is_stale) == (b"\0", True)
    assert (await tables.executions()).executions["e-1"].status == "CANCELLED"


async def test_log_rows_are_in_order_and_name_contacts_of_blocked_triggers_only(
    tables: Tables, store: ShardStore
) -> None:
    lease = await started(store, "e-1")
    logs = [
        Log("wait_ended", 0),
        Log("opt_out_blocked", contact_id="bob"),
        Log("action_started", 0),
        Log("late_result", contact_id="ann", execution_id="e-0", message="a NUL: \0"),
    ]
    await store.commit(lease, with_executions([], RUNNING, logs=logs))
    assert (await tables.executions()).logs == [
        ("wait_ended", "e-1", None),
        ("opt_out_blocked", None, "bob"),
        ("action_started", "e-1", None),
        ("late_result", "e-0", None),
    ]


async def test_first_answer_of_a_request_is_kept(tables: Tables, store: ShardStore) -> None:
    lease = await store.acquire(ALL, "a")
    for answer in ("opted_out", "started"):
        answers = [Answer("acme", "r-1", 3, answer), Answer("acme", answer, 3, answer, "e-1")]
        await store.commit(lease, with_executions([], answers=answers))
    assert (await tables.executions()).answers == {
        "r-1": ("opted_out", None),
        "opted_out": ("opted_out", "e-1"),
        "started": ("started", "e-1"),
    }


# Loads


async def test_both_stores_load_the_same_bytes(store: ShardStore) -> None:
    lease = await store.acquire(ALL, "a")
    start = Transition(
        "e-1", 0, since_ms=NOON_MS + 1, since_seq=7, retry_count=4, done_steps=["a", "b"],
        used_events=["form"],
    )  # fmt: skip
    await store.commit(lease, with_executions([Effect("e-1")], start))
    numbers = {
        name: value.to_bytes(8, "big")
        for name, value in {
            "version": 1, "visit": 1, "attempt": 0, "retries": 4, "hops": 2, "since": NOON_MS + 1,
            "due": NOON_MS + 60_000, "seq": 7,
        }.items()
    }  # fmt: skip
    of = numbers
    fields = [
        b"acme", b"e-1", b"ann", b"w-1", of["version"], b"sleeping", b"pause", of["visit"],
        of["attempt"], of["retries"], of["hops"], b"Europe/Berlin", of["since"], of["due"],
        b"a\x1fb", b"\0", b"\1", of["seq"],
    ]  # fmt: skip
    row = b"\0\x12" + b"".join(len(each).to_bytes(4, "big") + each for each in fields)
    assert await loaded(store, lease) == b"PGCOPY\n\xff\r\n\0" + bytes(8) + row + b"\xff\xff"


async def test_open_executions_of_the_slots_are_loaded(tables: Tables) -> None:
    everything, low = tables.store(), tables.store()
    lease = await started(everything, "e-1", "e-ended", "e-failed")
    await everything.commit(lease, starting("e-high", like=replace(ANN, slot=200)))
    for id_, reason, status in (("e-ended", "user", "CANCELLED"), ("e-failed", None, "FAILED")):
        ended = [replace(ENDED, enrollment_id=id_)] if reason else []
        transition = replace(
            FINISHED, execution_id=id_, effect=0 if reason else None, guard=ASLEEP, reason=reason,
            status=status, state="failed",
        )  # fmt: skip
        await everything.commit(lease, with_executions(ended, transition))
    rows = await loaded(low, await low.acquire(SlotRange(0, 127), "b"))
    found = {name for name in (b"e-1", b"e-ended", b"e-failed", b"e-high") if name in rows}
    assert found == {b"e-1", b"e-failed"}


async def test_execution_without_a_due_time_loads_minus_one(store: ShardStore) -> None:
    lease = await started(store, "e-1")
    await store.commit(lease, with_executions([], RUNNING))
    assert (-1).to_bytes(8, "big", signed=True) in await loaded(store, lease)


async def test_load_of_contacts_returns_only_their_executions(store: ShardStore) -> None:
    lease = await started(store, "e-ann")
    await store.commit(lease, starting("e-bob", like=replace(ANN, contact_id="bob")))
    rows = await loaded(store, lease, ["ann", "unknown"])
    assert b"e-ann" in rows
    assert b"e-bob" not in rows


async def test_current_plans_and_those_in_use_are_read(tables: Tables, store: ShardStore) -> None:
    for version in (1, 2, 3):
        await tables.publish("w-1", version, b"plan-%d" % version)
    await tables.publish("w-2", 1, b"other")
    lease = await store.acquire(ALL, "a")
    for version in (1, 3):
        await store.commit(lease, starting(f"e-{version}", like=replace(ANN, version=version)))
    current = [StoredPlan("acme", "w-1", 3, b"plan-3", is_current=True),
               StoredPlan("acme", "w-2", 1, b"other", is_current=True)]  # fmt: skip
    used = StoredPlan("acme", "w-1", 1, b"plan-1", is_current=False)
    assert sorted(await store.executions.plans(lease)) == sorted([*current, used])
    of = [WorkflowKey("acme", "w-1"), WorkflowKey("acme", "unknown")]
    assert await store.executions.plans(lease, of) == current[:1]
    ann = (TenantId("acme"), ContactId("ann"))
    assert sorted(await store.executions.pinned_plans(lease, ann)) == sorted([current[0], used])
    assert await store.executions.pinned_plans(lease, (ann[0], ContactId("bob"))) == []


async def test_plan_is_read_only_while_an_open_execution_of_the_slots_uses_it(
    tables: Tables, store: ShardStore
) -> None:
    for version in (1, 2):
        await tables.publish("w-1", version, b"plan")
    lease = await started(store, "e-1")
    other = tables.store()
    high = await other.acquire(SlotRange(128, 255), "b")
    assert [of.version for of in await other.executions.plans(high)] == [2]
    with pytest.raises(LeaseLost):
        await store.executions.plans(lease)


# Questions


async def test_start_knows_its_execution_and_the_last_start(store: ShardStore) -> None:
    lease = await started(store, "e-1")
    of = Transition("e-2", 0, workflow_id="w-2", started_at_ms=NOON_MS + 9_000)
    await store.commit(lease, with_executions([Effect("e-2", workflow_id="w-2")], of))
    earlier = replace(of, execution_id="e-3", started_at_ms=NOON_MS)
    await store.commit(lease, with_executions([Effect("e-3", workflow_id="w-2")], earlier))
    checks = [
        EntryCheck("acme", "ann", "w-1", "e-new"),
        EntryCheck("acme", "ann", "w-2", "e-1"),
        EntryCheck("acme", "bob", "w-1", "e-new"),
        EntryCheck("other", "ann", "w-1", "e-1"),
    ]
    assert await store.executions.starts(lease, checks) == [
        EntryFacts(exists=False, last_started_ms=NOON_MS),
        EntryFacts(exists=True, last_started_ms=NOON_MS + 9_000),
        EntryFacts(exists=False, last_started_ms=None),
        EntryFacts(exists=False, last_started_ms=None),
    ]


async def test_events_that_ended_a_wait_are_known(store: ShardStore) -> None:
    lease = await started(store, "e-1", "e-2")
    await store.commit(lease, with_executions([], replace(RUNNING, used_events=["form"])))
    known = WaitCheck("acme", "e-1", goal_id("form"))
    checks = [known, known._replace(event=goal_id("other")), known._replace(execution_id="e-2")]
    assert await store.executions.used(lease, checks) == {known}
    assert await store.executions.used(lease, []) == set()


async def test_jobs_that_are_out_are_known_by_their_gates(store: ShardStore) -> None:
    lease = await started(store, "e-1", "e-2")
    await store.commit(lease, with_executions([], RUNNING))
    keys = [ExecutionKey("acme", id_) for id_ in ("e-1", "e-2", "unknown")]
    (job,) = await store.executions.jobs(lease, keys)
    assert job == OutstandingJob("acme", "e-1", "ann", "mail", 1, 1, "noop", None, GATE, job.age_ms)
    assert 0 <= job.age_ms < 60_000
    await store.commit(lease, with_executions([ENDED], FINISHED))
    assert await store.executions.jobs(lease, keys) == []


async def test_fenced_holder_reads_no_executions(tables: Tables, store: ShardStore) -> None:
    lease = await started(store, "e-1")
    await tables.store().acquire(ALL, "b")
    of = store.executions
    for attempt in (
        loaded(store, lease),
        loaded(store, lease, ["ann"]),
        of.starts(lease, [EntryCheck("acme", "ann", "w-1", "e-1")]),
        of.used(lease, [WaitCheck("acme", "e-1", goal_id("form"))]),
        of.jobs(lease, [ExecutionKey("acme", "e-1")]),
        store.commit(lease, with_executions([], RUNNING)),
    ):
        with pytest.raises(LeaseLost):
            await attempt
    assert (await tables.executions()).executions["e-1"].state == "sleeping"
