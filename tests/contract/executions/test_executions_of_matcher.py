"""The rows that the state machine proposes are stored and loaded again, in each store."""

import json
from collections.abc import Sequence
from dataclasses import fields, replace

from goald import _native
from goald.domain.definitions.compiler import compile_plan
from goald.domain.definitions.encoder import encode_plan
from goald.domain.definitions.steps import ActionStep, DurationWait, WorkflowDefinition
from goald.domain.leases import SlotLease
from goald.domain.slots import SlotRange
from goald.pipeline.shard.commit import change_of
from goald.ports.executions.change import ExecutionChange, LogColumns, TransitionColumns
from goald.ports.executions.store import ExecutionKey
from goald.ports.shard_store import ShardStore

NOW_MS = 1_780_308_000_000
WAIT_MS = 60_000
PLAN = encode_plan(
    compile_plan(
        WorkflowDefinition((DurationWait("pause", WAIT_MS * 1_000), ActionStep("send", "noop", {})))
    )
)
GATE = "0000000001-00000000.7"
OF_THE_STORE = ("gate",)


async def load(store: ShardStore, lease: SlotLease) -> _native.Matcher:
    """A matcher with everything that is stored."""
    matcher = _native.Matcher()
    workflow = {"tenant_id": "acme", "workflow_id": "w-1", "is_active": True, "current_version": 1}
    matcher.update_plans([{**workflow, "versions": [(1, PLAN)]}])
    await store.load(lease, matcher.load)
    await store.executions.load(lease, matcher.load_executions)
    return matcher


def evaluate(
    matcher: _native.Matcher, now_ms: int, events: Sequence[bytes] = ()
) -> _native.Proposal:
    """Evaluate with facts about nothing."""
    entries = [(b"%d-0" % now_ms, event) for event in events]
    buffers = [_native.buffer_of(entries)] if entries else []
    given: dict[str, object] = {"watermark_ms": now_ms}
    matcher.advance_timers(now_ms)
    asked = matcher.evaluate(buffers, now_ms * 1_000, executions=given).executions
    assert asked is not None
    given["contacts"] = [(*check[:3], {}) for check in asked.contact_checks]
    given["starts"] = [(check[0], check[3], False, None) for check in asked.start_checks]
    return matcher.evaluate(buffers, now_ms * 1_000, executions=given)


async def commit(
    store: ShardStore, lease: SlotLease, proposal: _native.Proposal, gate: str | None = None
) -> str:
    """Commit a proposal with one transition. Returns the execution."""
    of = proposal.executions
    assert of is not None
    names = [each.name for each in fields(TransitionColumns) if each.name not in OF_THE_STORE]
    columns = {name: getattr(of.transitions, name) for name in names}
    transitions = TransitionColumns(**columns, gate=[gate])
    logs = LogColumns(**{each.name: getattr(of.logs, each.name) for each in fields(LogColumns)})
    change = replace(change_of(proposal, 0), executions=ExecutionChange(transitions, logs))
    committed = await store.commit(lease, change)
    assert (committed.transitions, committed.is_stale) == (b"\1", False)
    return str(of.transitions.execution_id[0])


def request() -> bytes:
    data = {"contact_id": "ann", "workflow_id": "w-1", "key": "k"}
    event = {"id": "r-1", "source": "api", "type": "workflow.execution.requested"}
    return json.dumps(event | {"time": NOW_MS / 1_000, "tenantid": "acme", "data": data}).encode()


async def test_execution_continues_after_each_load(store: ShardStore) -> None:
    lease = await store.acquire(SlotRange(0, 255), "a")
    started = evaluate(await load(store, lease), NOW_MS, [request()])
    id_ = await commit(store, lease, started)
    matcher = await load(store, lease)
    assert matcher.executions_in("sleeping") == [("acme", "ann", id_)]
    due = evaluate(matcher, NOW_MS + WAIT_MS)
    assert await commit(store, lease, due, GATE) == id_
    matcher = await load(store, lease)
    assert matcher.executions_in("running") == [("acme", "ann", id_)]
    (job,) = await store.executions.jobs(lease, [ExecutionKey("acme", id_)])
    assert (job.step_id, job.visit, job.attempt, job.gate) == ("send", 1, 1, GATE)
