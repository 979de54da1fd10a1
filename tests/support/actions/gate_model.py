"""Holders, workers, rows and a server, as a model of the protocol of gates (X2).

Everything may be repeated, delayed, lost or overtaken. `call` and `passed` check the promises: no
gate passes after the commit that ended its execution or replaced its attempt, and a provider
without idempotency keys is called at most once for a step.
"""

import copy
import itertools
import random
from contextlib import suppress
from dataclasses import dataclass, field

from goald.adapters.memory.actions.gates import MemoryGates
from goald.adapters.memory.actions.jobs import MemoryJobQueue
from goald.adapters.memory.actions.state import MemoryActions
from goald.adapters.memory.clock import ManualClock
from goald.adapters.memory.streams import MemoryStreams
from goald.domain.actions.gates import ActionType, GateId, GateSeries, gate_series
from goald.domain.errors import LeaseLost, ServerReplaced
from goald.domain.ids import TenantId, WorkflowId
from goald.domain.leases import SlotLease
from goald.domain.slots import SlotRange
from goald.ports.actions.gates import GateRun, GateState, GateStatus, JobEntry
from goald.ports.actions.jobs import JobResult, Passed, PassRequest, ReceivedJob
from goald.redis_keys import event_stream

ACTION = ActionType("noop")
TIMEOUT_S = 60.0
_SLOTS = SlotRange(0, 0)
_TENANT, _WORKFLOW = TenantId("acme"), WorkflowId("nurture")
_CALLS = frozenset({Passed.PASSED, Passed.TAKEN_OVER})


@dataclass
class Row:
    """An execution in Postgres, at one step."""

    number: int
    is_keyed: bool
    """Whether the provider of the step honours idempotency keys."""
    is_live: bool = True
    gate: GateId | None = None
    """That of the outstanding attempt."""
    calls: int = 0
    """Calls of the provider for the step."""
    outcome: str | None = None


@dataclass
class WorkerJob:
    """A job that a worker has."""

    received: ReceivedJob
    gate: GateId
    token: bytes
    is_taken_over: bool
    answer: Passed | None = None
    has_called: bool = False


@dataclass
class Holder:
    """A process that has, or had, the lease of the slots."""

    lease: SlotLease
    gates: "ReconnectingGates"
    series: GateSeries
    run: GateRun | None = None
    """The run of the server that it has compared."""
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    messages: list[JobEntry] = field(default_factory=list)
    """Outbox rows that it has read, and may publish at any later time."""
    closing: dict[int, GateState | None] = field(default_factory=dict)
    """The answers to closing the gates of executions, before the commit."""


class GateModel:
    """The rows, the outbox, the server, and the processes."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.clock = ManualClock()
        self.server = MemoryActions(MemoryStreams(self.clock))
        self.copies: list[MemoryActions] = []
        self.runs = itertools.count(1)
        self.epoch = 0
        """That of the lease in Postgres."""
        self.rows: list[Row] = []
        self.outbox: dict[GateId, JobEntry] = {}
        self.over: set[GateId] = set()
        """Gates whose execution has ended or whose attempt was replaced, by a commit."""
        self.holders: list[Holder] = []
        self.workers: list[list[WorkerJob]] = [[], []]
        self.delayed: list[PassRequest] = []
        self.calls_until: dict[GateId, float] = {}
        """Until when a worker that passed a gate may call the provider."""
        self.results_read = 0
        self.exits_in_flight = 0

    # The server

    def copy_server(self) -> None:
        self.copies.append(self._copied(self.server))

    def replace_server(self, copied: int | None) -> None:
        """The server starts as another run: with its data, or with those of an older copy."""
        if copied is not None and self.copies:
            self.server = self._copied(self.copies[copied % len(self.copies)])
            self.results_read = 0
        self.server.streams.run_id = f"run-{next(self.runs)}"
        for holder in self.holders:
            holder.gates.reconnect(self.server)

    def lose_data(self) -> None:
        self.server.flush()
        self.results_read = 0

    def _copied(self, server: MemoryActions) -> MemoryActions:
        copied, streams = MemoryActions(MemoryStreams(self.clock)), server.streams
        for name in ("live", "ended", "holders", "floors", "admitted", "inactive", "deliveries"):
            setattr(copied, name, copy.deepcopy(getattr(server, name)))
        copied.streams.restore(streams)
        return copied

    # The holder of the slots

    async def take_over(self, *, is_admitted: bool = True) -> None:
        """A new process acquires the lease, fences earlier holders, compares and admits."""
        self.epoch += 1
        lease = SlotLease(_SLOTS, self.epoch, f"shard@{self.epoch}")
        gates = ReconnectingGates(self.server)
        holder = Holder(lease, gates, self._series())
        self.holders.append(holder)
        await self.fence(holder, is_admitted=is_admitted)

    async def fence(self, holder: Holder, *, is_admitted: bool = True) -> None:
        """Fence the slots, compare what is outstanding, and admit, now or later."""
        holder.series, holder.numbers = self._series(holder.lease.epoch), itertools.count()
        holder.run = None
        holder.messages.clear()
        holder.closing.clear()
        try:
            run = await holder.gates.fence(holder.lease, holder.series)
        except LeaseLost:
            return
        if not self._may_commit(holder):
            return  # the lease is verified after the fence
        for row in self.rows:
            if row.gate is not None and not run.is_continuous:
                self._unknown(holder, row)
            elif row.gate is not None:
                await self._recover(holder, row)
        holder.run = run
        if is_admitted:
            await self.admit(holder)

    async def admit(self, holder: Holder) -> None:
        """Admit the run that was compared."""
        if holder.run is not None:
            with suppress(LeaseLost):
                await holder.gates.admit(holder.lease, holder.run)

    def _series(self, epoch: int | None = None) -> GateSeries:
        return gate_series(self.epoch if epoch is None else epoch, self.random.randbytes(4))

    def start_step(self, holder: Holder, *, is_keyed: bool) -> None:
        """Commit an execution with a job."""
        if self._may_commit(holder):
            row = Row(len(self.rows), is_keyed)
            self.rows.append(row)
            self._grant(holder, row)

    def read_outbox(self, holder: Holder) -> None:
        holder.messages = list(self.outbox.values())

    async def publish(self, holder: Holder, *, is_marked: bool) -> None:
        """Register what was read from the outbox. `is_marked`: whether the rows are deleted, which
        a crash may prevent."""
        try:
            await holder.gates.register(holder.lease, holder.messages)
        except (LeaseLost, ServerReplaced):
            return
        if is_marked:
            for message in holder.messages:
                self.outbox.pop(message.gate, None)

    async def close(self, holder: Holder, row: Row) -> None:
        """The first half of an exit."""
        if not row.is_live:
            return
        if row.gate is None:
            holder.closing[row.number] = None
            return
        try:
            (state,) = await holder.gates.close_gates(holder.lease, [row.gate])
        except (LeaseLost, ServerReplaced):
            return
        holder.closing[row.number] = state

    async def commit(self, holder: Holder, row: Row, *, fails: bool) -> None:
        """The second half of an exit. After a failure the execution is loaded again."""
        if row.number not in holder.closing:
            return
        state = holder.closing.pop(row.number)
        if not self._may_commit(holder) or not row.is_live:
            return
        if fails:
            await self._recover(holder, row)
            return
        row.is_live = False
        self.exits_in_flight += state is not None and state.status is GateStatus.PASSED
        self._finish_attempt(row)

    async def read_results(self, holder: Holder) -> None:
        """Process the results in the event stream. The first for an attempt counts."""
        entries = self.server.streams.entries(event_stream(0))
        for _, flat in entries[self.results_read :]:
            text, outcome = flat[1].decode().split()
            row = next((r for r in self.rows if r.gate == GateId.parse(text)), None)
            if row is None or not self._may_commit(holder):
                continue
            if outcome == "refused":
                await self._recover(holder, row)
                continue
            if outcome == "unknown" and row.is_keyed and row.is_live:
                self._grant(holder, row)
                continue
            row.outcome = outcome
            self._finish_attempt(row)
        self.results_read = len(entries)

    async def _recover(self, holder: Holder, row: Row) -> None:
        """The one procedure for an execution that is live with an outstanding job."""
        if row.gate is None:
            return
        (state,) = await holder.gates.states([row.gate])
        if state.status is GateStatus.CLOSED:
            self._grant(holder, row)

    def _unknown(self, holder: Holder, row: Row) -> None:
        """Redis may have lost that the job was performed (X4)."""
        if not self._may_commit(holder):
            return
        if row.is_keyed:
            self._grant(holder, row)
        else:
            row.outcome = "unknown"
            self._finish_attempt(row)

    def _grant(self, holder: Holder, row: Row) -> None:
        """Commit a new attempt."""
        if self._may_commit(holder):
            self._finish_attempt(row)
            row.gate = GateId(holder.series, next(holder.numbers))
            self.outbox[row.gate] = JobEntry(row.gate, ACTION, f"{row.gate} {row.number}")

    def _finish_attempt(self, row: Row) -> None:
        if row.gate is not None:
            self.over.add(row.gate)
            self.outbox.pop(row.gate, None)
            row.gate = None

    def _may_commit(self, holder: Holder) -> bool:
        return holder.lease.epoch == self.epoch

    # Workers

    @property
    def queue(self) -> MemoryJobQueue:
        return MemoryJobQueue(self.server)

    async def receive(self, worker: int, *, takes_idle: bool) -> None:
        if takes_idle:
            received = await self.queue.take_idle(ACTION, TIMEOUT_S, 2)
        else:
            received = await self.queue.receive([ACTION], 2, 0.0)
        for each in received:
            gate = GateId.parse(each.payload.decode().split()[0])
            self.workers[worker].append(
                WorkerJob(each, gate, self.random.randbytes(16), takes_idle)
            )

    async def pass_gate(self, job: WorkerJob, *, answer_is_lost: bool, is_delayed: bool) -> None:
        """Pass a gate. A worker that has no answer gives the gate back and asks with a new token;
        a delayed request arrives after that."""
        if job.answer is not None:
            return
        after = round(TIMEOUT_S * 1_000) if job.is_taken_over else None
        request = PassRequest(job.gate, 0, _TENANT, _WORKFLOW, job.token, after)
        if is_delayed:
            self.delayed.append(request)
        else:
            answer = await self.send(request)
            if not answer_is_lost:
                job.answer = None if answer is Passed.NOT_ADMITTED else answer
                return
            if answer in _CALLS:
                self.calls_until.pop(request.gate)  # it returns the gate
        await self.queue.return_gates([(job.gate, job.token)])
        job.token = self.random.randbytes(16)

    async def send(self, request: PassRequest) -> Passed:
        (answer,) = await self.queue.pass_gates([request])
        if answer in _CALLS:
            assert request.gate not in self.over, "passed after the commit"
            until = self.calls_until.get(request.gate, 0.0)
            assert self.clock.monotonic() >= until, "passed while another worker may call"
            self.calls_until[request.gate] = self.clock.monotonic() + TIMEOUT_S
        return answer

    def call(self, job: WorkerJob) -> None:
        """Call the provider, if the worker may."""
        row = self._row_of(job)
        may = job.answer is Passed.PASSED or (job.answer is Passed.TAKEN_OVER and row.is_keyed)
        if not may or job.has_called:
            return
        job.has_called = True
        row.calls += 1
        assert row.is_keyed or row.calls == 1, "a provider without keys was called twice"

    async def return_gate(self, job: WorkerJob) -> None:
        """More than 250 ms have gone by since the gate was passed."""
        if job.answer is Passed.PASSED and not job.has_called:
            await self.queue.return_gates([(job.gate, job.token)])
            self.calls_until.pop(job.gate, None)
            job.answer, job.token = None, self.random.randbytes(16)

    async def finish(self, worker: int, job: WorkerJob, *, is_sent_twice: bool) -> None:
        """Report the result of the job."""
        if job.answer is None or job.answer is Passed.REFUSED_PASSED:
            return
        row = self._row_of(job)
        token: bytes | None = None
        if job.has_called:
            outcome, token = "done", job.token
        elif job.answer is Passed.PASSED:
            return  # it still has to call
        elif job.answer is Passed.TAKEN_OVER and row.is_keyed:
            return
        elif job.answer in {Passed.TAKEN_OVER, Passed.TAKEN_OVER_CLOSED}:
            outcome, token = "unknown", job.token
        else:
            outcome = "refused"
        event = f"{job.gate} {outcome}".encode()
        result = JobResult(job.gate, 0, token, ACTION, job.received.entry_id, event)
        for _ in range(1 + is_sent_twice):
            await self.queue.finish([result])
        self.workers[worker].remove(job)

    def drop(self, worker: int) -> None:
        """The worker dies."""
        self.workers[worker].clear()

    def _row_of(self, job: WorkerJob) -> Row:
        return self.rows[int(job.received.payload.split()[1])]

    # The end of all faults

    async def drain(self) -> None:
        """Without further faults every job gets a result."""
        for worker in range(len(self.workers)):
            self.drop(worker)
        for request in self.delayed:
            await self.send(request)
        await self.take_over()
        holder = self.holders[-1]
        for _ in range(8 + len(self.rows)):
            self.read_outbox(holder)
            await self.publish(holder, is_marked=True)
            await self.clock.advance(TIMEOUT_S)
            for takes_idle in (True, False):
                await self.receive(0, takes_idle=takes_idle)
            for job in list(self.workers[0]):
                await self.pass_gate(job, answer_is_lost=False, is_delayed=False)
                self.call(job)
                await self.finish(0, job, is_sent_twice=False)
            self.drop(0)
            await self.read_results(holder)
        stuck = [row for row in self.rows if row.is_live and row.gate is not None]
        assert not stuck, f"jobs without a result: {stuck}"


class ReconnectingGates(MemoryGates):
    """Continues with a server that replaced the one before."""

    def reconnect(self, server: MemoryActions) -> None:
        self._actions = server
