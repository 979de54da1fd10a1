"""Executions over crashes, lost replies and outages: no action is lost or doubled, no gate passes
after its exit is committed, and no wait ends before an earlier event (X1, X2, X3, X6).
"""

import asyncio
import json
import os
from collections import Counter
from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.pipeline.crash_simulation import START_US, CrashSimulation
from tests.support.pipeline.in_memory_pipeline import STREAM
from tests.support.pipeline.virtual_time import LoopClock, VirtualTimeLoop

from goald.adapters.memory.actions.jobs import MemoryJobQueue
from goald.adapters.memory.stored.executions import StoredDefinition, StoredExecution
from goald.domain.actions.gates import ActionType
from goald.domain.actions.job import Job
from goald.domain.actions.outcomes import SUCCESS, result_event
from goald.domain.definitions.compiler import compile_plan
from goald.domain.definitions.encoder import encode_plan
from goald.domain.definitions.steps import (
    ActionStep,
    DurationWait,
    EventPattern,
    WorkflowDefinition,
)
from goald.domain.fail_points import FailPoint
from goald.ports.actions.jobs import JobResult, Passed, PassRequest, ReceivedJob

NOOP = ActionType("noop")
WAIT_MS = 500
STEPS = (
    ActionStep("first", "noop", {}),
    DurationWait("pause", WAIT_MS * 1_000),
    ActionStep("second", "noop", {}),
)
ACTIONS = 2
DEFINITION = WorkflowDefinition(STEPS, trigger=EventPattern("form_submitted", {"form_id": "f"}))
WORKFLOW = "w-any"
"""Its goal is the tag `Customer`."""
CONTACTS = ("ann", "bob", "cas")
END_SECONDS = 120.0
OPERATIONS = (
    "commit", "check", "register", "close_gates", "take", "release", "report", "admit", "fence",
    "states", "jobs", "starts", "load_contacts", "publish",
)  # fmt: skip
FAULTS = st.one_of(
    st.sampled_from(["kill", "wait", "iterate", *(f"lose {each}" for each in OPERATIONS)]),
    st.sampled_from(list(FailPoint)),
)
ACTS = st.one_of(
    st.tuples(st.sampled_from(["trigger", "tag"]), st.integers(0, len(CONTACTS) - 1)),
    st.tuples(st.sampled_from(["receive", "pass", "finish"]), st.integers(0, 3)),
    st.tuples(FAULTS, st.booleans()),
)


@dataclass
class WorkerJob:
    """A job that the worker has."""

    received: ReceivedJob
    job: Job
    token: bytes = field(default_factory=lambda: os.urandom(16))
    has_passed: bool = False


class Worker:
    """Receives jobs, passes gates and reports results, and records the calls."""

    def __init__(self, simulation: CrashSimulation) -> None:
        assert simulation.actions is not None
        self._simulation = simulation
        self._queue = MemoryJobQueue(simulation.actions)
        self.jobs: list[WorkerJob] = []
        self.calls: Counter[str] = Counter()
        """By idempotency key."""

    async def receive(self) -> None:
        for received in await self._queue.receive([NOOP], 10, 0.001):
            self.jobs.append(WorkerJob(received, Job.parse(received.payload)))

    async def pass_gate(self, each: WorkerJob) -> None:
        job = each.job
        request = PassRequest(job.gate, job.slot, job.tenant_id, job.workflow_id, each.token)
        (answer,) = await self._queue.pass_gates([request])
        if answer is Passed.PASSED:
            row = self._row(job)
            assert row.reason is None, f"a gate of {job.execution_id} passed after its end"
            assert row.gate == str(job.gate), "a gate passed that is not that of the row"
            each.has_passed = True
            self.calls[job.key] += 1
        elif answer is not Passed.NOT_ADMITTED:
            self.jobs.remove(each)

    async def finish(self, each: WorkerJob) -> None:
        at_us = self._simulation.clock.now_us()
        event = result_event(
            each.job, SUCCESS, each.token, is_keyed=True, duration_ms=1, at_us=at_us
        )
        entry = each.received.entry_id
        await self._queue.finish([JobResult(each.job.gate, 0, each.token, NOOP, entry, event)])
        self.jobs.remove(each)

    async def work(self) -> None:
        """Perform everything that is there."""
        await self.receive()
        for each in list(self.jobs):
            if not each.has_passed:
                await self.pass_gate(each)
            if each.has_passed:
                await self.finish(each)

    def _row(self, job: Job) -> StoredExecution:
        rows = self._simulation.database.of_executions.executions
        return rows[job.tenant_id, job.execution_id]


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(acts=st.lists(ACTS, min_size=5, max_size=50), seed=st.integers(0, 1_000_000))
def test_no_action_is_lost_or_doubled_and_none_starts_after_an_exit(
    acts: list[tuple[str | FailPoint, int]], seed: int
) -> None:
    loop = VirtualTimeLoop()
    try:
        loop.run_until_complete(_run(loop, acts, seed))
    finally:
        loop.close()


async def _run(loop: VirtualTimeLoop, acts: list[tuple[str | FailPoint, int]], seed: int) -> None:
    simulation = CrashSimulation(LoopClock(loop, START_US), seed, runs_workflows=True)
    for tenant in ("acme", "globex"):
        plan = encode_plan(compile_plan(DEFINITION))
        definition = StoredDefinition(tenant, WORKFLOW, 1, plan)
        simulation.database.of_executions.definitions.append(definition)
    worker = Worker(simulation)
    await asyncio.sleep(0.2)  # until both processes run
    try:
        for act, argument in acts:
            await _take(simulation, worker, act, argument)
        await simulation.drain()
        rows, actions = simulation.database.of_executions.executions, simulation.actions
        assert actions is not None
        async with asyncio.timeout(END_SECONDS):
            while not simulation.errors and (
                any(row.reason is None for row in rows.values()) or actions.permits
            ):
                await worker.work()
                await asyncio.sleep(0.1)
        assert not simulation.errors
        _check(simulation, worker)
    finally:
        simulation.kill_all()
        rest = asyncio.all_tasks(loop) - {asyncio.current_task(loop)}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)


async def _take(
    simulation: CrashSimulation, worker: Worker, act: str | FailPoint, argument: int
) -> None:
    if act == "trigger":
        await simulation.send("form.submitted", "acme", CONTACTS[argument], form_id="f")
    elif act == "tag":
        await simulation.send("contact.tag.added", "acme", CONTACTS[argument], tag_name="Customer")
    elif act == "receive":
        await worker.receive()
    elif act == "pass":
        waiting = [each for each in worker.jobs if not each.has_passed]
        if waiting:
            await worker.pass_gate(waiting[argument % len(waiting)])
    elif act == "finish":
        passed = [each for each in worker.jobs if each.has_passed]
        if passed:
            await worker.finish(passed[argument % len(passed)])
    elif isinstance(act, FailPoint):
        for process in simulation.running.values():
            process.control.bomb = (act, 1 + argument)
    elif act == "kill":
        simulation.running["shard" if argument else "consumer"].kill()
    elif act.startswith("lose"):
        simulation.services.faults.append((act.split()[1], bool(argument)))
    elif act == "wait":
        await asyncio.sleep(0.6)
    else:
        for _ in range(20):
            await asyncio.sleep(0)


def _check(simulation: CrashSimulation, worker: Worker) -> None:
    database = simulation.database
    steps = {step.id for step in STEPS}
    calls = Counter(worker.calls)
    assert all(count == 1 for count in calls.values()), "an action was performed twice"
    for row in database.of_executions.executions.values():
        status = database.enrollments[row.tenant_id, row.id].status
        assert (row.reason, status) in {
            ("finished", "completed"),
            ("goal_achieved", "completed_goal"),
        }
        if row.reason == "finished":
            assert set(row.done_steps) == steps
    finished = [r for r in database.of_executions.executions.values() if r.reason == "finished"]
    assert sum(calls.values()) >= ACTIONS * len(finished), "an action was lost"
    _check_waits(simulation)


def _check_waits(simulation: CrashSimulation) -> None:
    """An event that Redis received until a wait was over precedes its end."""
    tags: dict[str, list[int]] = {}
    for entry_id, fields in simulation.streams.entries(STREAM):
        event = json.loads(fields[1])
        if event["type"] == "contact.tag.added":
            received_ms = int(entry_id.partition(b"-")[0])
            tags.setdefault(event["data"]["contact_id"], []).append(received_ms)
    of_executions = simulation.database.of_executions
    started = {
        log.execution_id: log.at_ms
        for log in of_executions.logs
        if log.event_type == "wait_started"
    }
    for log in of_executions.logs:
        if log.event_type == "wait_ended":
            assert log.execution_id is not None
            enrollment = simulation.database.enrollments[log.tenant_id, log.execution_id]
            contact, began = enrollment.contact_id, started[log.execution_id]
            missed = [at for at in tags.get(contact, ()) if began < at <= began + WAIT_MS]
            assert not missed, "a wait ended before an earlier event"
