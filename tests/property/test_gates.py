"""Property test of the protocol of gates (X2, X4, D3, D10).

However requests are delayed, repeated or lost, workers die, holders are replaced at any point, and
Redis restarts, loses its data or comes back as an older copy: no gate passes after the commit that
ended its execution or replaced its attempt, or while a worker may call the provider. A provider
without idempotency keys is called at most once for a step. Once the faults end, every job has a
result.
"""

import asyncio
import os
from collections.abc import Coroutine, Mapping
from enum import Enum
from typing import Any, Final, TypeVar

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from tests.support.actions.gate_model import TIMEOUT_S, GateModel, Holder, WorkerJob

from goald.ports.actions.jobs import Passed

T = TypeVar("T")
RUNS = int(os.environ.get("GATE_RUNS", "200"))
SHRINKS = os.environ.get("CRASH_SHRINK", "1") == "1"
"""Whether a failing run is shrunk before it is reported."""


class Act(Enum):
    """Something that happens. An outdated holder or worker may be the actor."""

    STEP_STARTS = "a holder commits a job, and publishes it now or later"
    MESSAGES_ARE_PUBLISHED = "a holder publishes jobs that it has read some time ago"
    EXIT_BEGINS = "a holder closes the gate of an execution"
    EXIT_IS_COMMITTED = "the commit of an exit succeeds or fails"
    RESULTS_ARE_READ = "a holder processes the results"
    WORKER_RECEIVES = "a worker receives jobs, new ones or those of others that timed out"
    WORKER_PASSES = "a worker passes a gate; its request may be delayed, or the answer lost"
    WORKER_RETURNS = "a worker returns a gate, because it was too slow, and passes it again"
    WORKER_CALLS = "a worker calls the provider, and finishes the job"
    WORKER_DIES = "a worker dies, and its jobs time out"
    WORKERS_ARE_SLOW = "jobs time out, and their workers continue"
    REQUEST_ARRIVES = "the server reads a delayed request"
    HOLDER_IS_REPLACED = "another process acquires the lease"
    HOLDER_FENCES_AGAIN = "the holder starts again with the same lease"
    HOLDER_ADMITS = "a holder admits the run that it has compared"
    SERVER_IS_COPIED = "a copy of the server's data is made"
    SERVER_RESTARTS = "the server restarts with its data"
    SERVER_IS_AN_OLDER_COPY = "the server restarts with older data"
    SERVER_LOSES_ITS_DATA = "the server loses its data"


WEIGHTS: Final[Mapping[Act, int]] = {
    Act.STEP_STARTS: 8, Act.MESSAGES_ARE_PUBLISHED: 4, Act.EXIT_BEGINS: 10,
    Act.EXIT_IS_COMMITTED: 10, Act.RESULTS_ARE_READ: 3, Act.WORKER_RECEIVES: 14,
    Act.WORKER_PASSES: 8, Act.WORKER_RETURNS: 10, Act.WORKER_CALLS: 3, Act.WORKER_DIES: 2,
    Act.WORKERS_ARE_SLOW: 4, Act.REQUEST_ARRIVES: 2, Act.HOLDER_IS_REPLACED: 2,
    Act.HOLDER_FENCES_AGAIN: 6, Act.HOLDER_ADMITS: 3, Act.SERVER_IS_COPIED: 1,
    Act.SERVER_RESTARTS: 1, Act.SERVER_IS_AN_OLDER_COPY: 1, Act.SERVER_LOSES_ITS_DATA: 1,
}  # fmt: skip
ACTS = st.sampled_from([act for act, weight in WEIGHTS.items() for _ in range(weight)])


def pick(found: list[T], place: int) -> T:
    """One of the latest."""
    return found[-1 - place % len(found)]


def _can(act: Act, job: WorkerJob) -> bool:
    """Whether it makes sense that a worker does this with a job now."""
    if act is Act.WORKER_PASSES:
        return job.answer is None
    if act is Act.WORKER_RETURNS:
        return job.answer is Passed.PASSED and not job.has_called
    return job.answer is not None


class GateMachine(RuleBasedStateMachine):
    """One rule with weighted acts, because the interesting runs are long chains of them."""

    @initialize(seed=st.integers(0, 1_000_000))
    def begin(self, seed: int) -> None:
        self.loop = asyncio.new_event_loop()
        self.model = GateModel(seed)
        self.run(self.model.take_over())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        if not hasattr(self, "model"):
            return
        try:
            self.run(self.model.drain())
        finally:
            self.loop.close()

    @rule(act=ACTS, place=st.integers(0, 1), chance=st.integers(0, 9), flag=st.booleans())
    def acts(self, act: Act, place: int, chance: int, flag: bool) -> None:
        """`chance` decides about rare variants."""
        holder = pick(self.model.holders, place if chance == 9 else 0)
        if act.name.startswith(("WORKER", "REQUEST")):
            self.run(self.worker_acts(act, place, chance, flag))
        elif act.name.startswith("SERVER"):
            self.server_changes(act, place)
        else:
            self.run(self.holder_acts(holder, act, place, chance, flag))

    async def holder_acts(
        self, holder: Holder, act: Act, place: int, chance: int, flag: bool
    ) -> None:
        model = self.model
        outstanding = [row for row in model.rows if row.is_live and row.gate is not None]
        if act is Act.STEP_STARTS and len(outstanding) < 3:
            model.start_step(holder, is_keyed=flag)
            model.read_outbox(holder)
            if chance < 7:
                await model.publish(holder, is_marked=chance < 4)
        elif act is Act.MESSAGES_ARE_PUBLISHED:
            await model.publish(holder, is_marked=flag)
        elif act is Act.EXIT_BEGINS and outstanding:
            await model.close(holder, pick(outstanding, place))
        elif act is Act.EXIT_IS_COMMITTED and holder.closing:
            row = model.rows[pick(list(holder.closing), place)]
            await model.commit(holder, row, fails=chance == 0)
        elif act is Act.RESULTS_ARE_READ:
            await model.read_results(holder)
        elif act is Act.HOLDER_IS_REPLACED:
            await model.take_over(is_admitted=flag)
        elif act is Act.HOLDER_FENCES_AGAIN:
            await model.fence(holder, is_admitted=flag)
        elif act is Act.HOLDER_ADMITS:
            await model.admit(holder)

    async def worker_acts(self, act: Act, place: int, chance: int, flag: bool) -> None:
        model = self.model
        found = [
            (worker, job)
            for worker, jobs in enumerate(model.workers)
            for job in jobs
            if _can(act, job)
        ]
        if act is Act.WORKER_RECEIVES:
            await model.receive(place, takes_idle=flag)
            if chance < 7 and model.workers[place]:
                await self.passes(model.workers[place][-1])
        elif act is Act.WORKER_DIES:
            model.drop(place)
            await model.clock.advance(TIMEOUT_S)
        elif act is Act.WORKERS_ARE_SLOW:
            await model.clock.advance(TIMEOUT_S)
        elif act is Act.REQUEST_ARRIVES and model.delayed:
            await model.send(model.delayed.pop())
        elif act is Act.WORKER_PASSES and found:
            job = pick(found, place)[1]
            await model.pass_gate(job, answer_is_lost=chance == 0, is_delayed=chance == 1)
        elif act is Act.WORKER_RETURNS and found:
            job = pick(found, place)[1]
            await model.return_gate(job)
            if flag:
                await self.passes(job)
        elif act is Act.WORKER_CALLS and found:
            model.call(pick(found, place)[1])
            if flag:
                await model.finish(*pick(found, place), is_sent_twice=chance == 0)

    def server_changes(self, act: Act, place: int) -> None:
        if act is Act.SERVER_IS_COPIED:
            self.model.copy_server()
        elif act is Act.SERVER_LOSES_ITS_DATA:
            self.model.lose_data()
        else:
            self.model.replace_server(place if act is Act.SERVER_IS_AN_OLDER_COPY else None)

    async def passes(self, job: WorkerJob) -> None:
        await self.model.pass_gate(job, answer_is_lost=False, is_delayed=False)


TestGates = GateMachine.TestCase
TestGates.settings = settings(
    max_examples=RUNS,
    stateful_step_count=80,
    deadline=None,
    phases=set(Phase) if SHRINKS else set(Phase) - {Phase.shrink},
)
