"""The executions of a shard, next to its goals: what an evaluation is given, what precedes its
commit, and what follows (X1, X2, X8, X16)."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final

from goald import _native
from goald.domain.actions.gates import ActionType, GateId
from goald.domain.contacts.merging import ContactKey
from goald.domain.errors import CommitUnknown, ServerReplaced
from goald.domain.ids import ContactId, TenantId
from goald.domain.leases import SlotLease
from goald.pipeline.context import ShardContext
from goald.pipeline.executions.changes import execution_change
from goald.pipeline.executions.gates import SlotGates
from goald.pipeline.executions.in_flight import JobsInFlight, Key
from goald.pipeline.executions.jobs import StartedJob
from goald.pipeline.executions.memory import ExecutionMemory
from goald.pipeline.executions.prepared import PreparedExecutions
from goald.pipeline.executions.publish import JobPublisher
from goald.pipeline.executions.recovery import JobInFlight, compare
from goald.pipeline.executions.refused import RefusedExecution, RefusedExecutions
from goald.pipeline.executions.release.credits import Credits
from goald.pipeline.executions.release.queues import QueueKey
from goald.pipeline.executions.release.releases import Grant, Releases, permit_of
from goald.pipeline.executions.report import ExecutionReport
from goald.pipeline.executions.watermark import Watermark
from goald.pipeline.shard_batch import StreamMark
from goald.ports.actions.gates import GateStatus
from goald.ports.actions.permits import PermitAnswer
from goald.ports.configuration import Configuration, WorkflowKey
from goald.ports.executions.store import ExecutionKey
from goald.ports.shard_store import ShardStore

MOVED_SECONDS: Final = 10.0
"""The permits of executions whose contact was merged are returned after this time: then the shard
of the other contact has taken its own, so that the count is never too low."""
UNLIMITED: Final = 2**31 - 1

TICK_SECONDS: Final = 0.05
"""How often due timers and steps are looked for while no events arrive."""


class ShardExecutions:
    """The executions of one slot range. Calls are retried while a server is unavailable, and raise
    LeaseLost."""

    def __init__(
        self,
        context: ShardContext,
        store: ShardStore,
        lease: SlotLease,
        memory: ExecutionMemory,
        gates: SlotGates,
        watermark: Watermark,
    ) -> None:
        self._context = context
        self._store = store
        self._lease = lease
        self._memory = memory
        self._gates = gates
        self.watermark = watermark
        credits_ = Credits(context.clock)
        self._jobs = JobsInFlight(context.clock, credits_)
        self.report = ExecutionReport(context, memory, watermark, self._jobs)
        self._releases = Releases(context.clock, memory, credits_, gates, memory.limit_of)
        self._taken: dict[tuple[str, str], Grant] = {}
        """Grants of evaluations that were not committed: their permits may have to be returned."""
        self._is_admitted = False
        self.uncommitted: set[ContactKey] = set()
        """The contacts of transitions that were proposed and are not known to be committed. They
        are loaded again after a failure: a group without events names no contacts."""
        self._publisher = JobPublisher(
            context, store, lease, gates, self._releases, self.report, memory.name_of
        )
        self._refused = RefusedExecutions(context.metrics)
        self._moved: list[tuple[float, list[Grant]]] = []
        """The permits of executions that moved to other contacts, and when they are returned."""
        self._changed = asyncio.Event()
        """Executions have changed, so that steps may be due, or may have credits."""
        self._is_evaluated = False
        """Whether there was an evaluation since executions were loaded."""

    # Between the load and the first group, and after Redis was replaced

    async def start(self) -> None:
        """Fence the gates of the slots, compare the outstanding jobs with them, verify the lease,
        report the permits and admit the gates; again while Redis is replaced meanwhile."""
        if self._memory.is_empty:
            return
        while not self._is_admitted:
            is_continuous = await self._gates.fence()
            self._jobs.replace_all(await self._outstanding())
            self._taken.clear()
            try:
                found = await compare(self._gates, self._jobs.all, is_continuous=is_continuous)
            except ServerReplaced:
                continue
            self._jobs.answer(found)
            await self._gates.set_active(self._memory.inactive(), is_active=False)
            check = partial(self._store.check, self._lease)
            await self._context.retry("Postgres: commit", "check", check)
            self._is_admitted = await self._gates.admit(self._memory.active())

    async def reload(self, contacts: Sequence[ContactKey]) -> None:
        """The executions of these contacts were loaded again: take their jobs, and compare."""
        self._is_evaluated = False
        if not self._is_admitted:
            return
        names = set(contacts)
        self._refused.forget(names)
        found = await self._outstanding(names)
        self._jobs.replace(names, found)
        await self._compare(found)

    def mark(self, marks: Sequence[StreamMark]) -> bool:
        """See `Shard.mark`."""
        for mark in marks:
            self.watermark.mark(mark)
        is_needed = not self._memory.is_empty
        if is_needed and self._is_due():
            self._changed.set()
        return is_needed

    async def adopt(self, contact: ContactKey) -> None:
        """Executions of a merged contact moved to this one, and are loaded (E21). Those that are
        ACTIVE get a permit of its slot, although the account may have no room."""
        await self.reload([contact])
        requests = [(permit_of(each), UNLIMITED) for each in self._memory.active_of({contact})]
        try:
            answers = await self._gates.take_permits(requests)
        except ServerReplaced:
            answers = [PermitAnswer.NOT_REPORTED]
        if any(answer is not PermitAnswer.GRANTED for answer in answers):
            self._is_admitted = False  # `start` reports all permits

    def move(self, contacts: Sequence[ContactKey]) -> None:
        """The merges of these contacts are committed, and their executions leave memory next."""
        names = set(contacts)
        self._refused.forget(names)
        self._jobs.replace(names, ())
        if active := self._memory.active_of(names):
            self._moved.append((self._context.clock.monotonic() + MOVED_SECONDS, active))

    # Around an evaluation

    async def options(self) -> dict[str, object] | None:
        """The watermark, grants and answers of gates for the next evaluation. None if no workflow
        has a plan."""
        if self._memory.is_empty:
            return None
        await self.start()
        grants = await self._granted()
        await self._compare(self._jobs.doubtful)
        until = self.watermark.value_ms()
        if until is not None:
            self._memory.advance_timers(until)
        now_ms = self._context.clock.now_us() // 1_000
        self._is_evaluated = True
        return {
            "inputs": [
                *self._refused.inputs(now_ms),
                *(each.options(now_ms) for each in self._jobs.inputs),
            ],
            "watermark_ms": until or 0,
            **self._memory.rules.options,
            "grants": grants,
        }

    async def prepare(self, proposed: _native.ExecutionProposal) -> PreparedExecutions:
        """Close the gates of the executions that end or leave their attempt, before the commit
        (X2). Raises CommitUnknown if Redis was replaced: reload and evaluate again."""
        of = proposed.transitions
        self.uncommitted |= set(zip(of.tenant_id, of.contact_id, strict=True))
        keys = list(zip(of.tenant_id, of.execution_id, strict=True))
        closing: dict[int, JobInFlight] = {}
        for number, closes in enumerate(of.closes_gate):
            if closes:
                job = self._jobs.get(keys[number])
                if job is None:
                    raise CommitUnknown("the gate of an outstanding job is not known")
                closing[number] = job
        self._jobs.closing(closing.values())
        try:
            states = await self._gates.close([job.gate for job in closing.values()])
        except ServerReplaced as error:
            self._is_admitted = False
            raise CommitUnknown(str(error)) from error
        closed = dict(zip(closing, states, strict=True))
        passed = {number for number, state in closed.items() if state.status is GateStatus.PASSED}
        # A lost call may be in flight although the execution has left the attempt.
        passed |= {number for number, key in enumerate(keys) if self._jobs.is_lost(key)}
        cancelled = {
            number
            for number, state in closed.items()
            if number not in passed and state.status is not GateStatus.FINISHED
        }
        effects = of.effect
        jobs = self._start(of)
        gates = [
            self._gate_after(keys[number], jobs.get(number), state, reason)
            for number, (state, reason) in enumerate(zip(of.state, of.reason, strict=True))
        ]
        in_flight = {
            effect: number in passed for number, effect in enumerate(effects) if effect is not None
        }
        change = execution_change(proposed, gates, passed)
        return PreparedExecutions(proposed, change, jobs, cancelled, closed, in_flight)

    async def erase(self, contacts: Sequence[tuple[TenantId, ContactId]]) -> None:
        """Erase the payloads of contacts before their deletion is committed: afterwards nothing
        would repeat it."""
        if not self._memory.is_empty:
            await self._gates.erase(contacts)

    def refuse(
        self, proposed: _native.ExecutionProposal, reason: str, *, blames_event: bool
    ) -> None:
        """Postgres refuses a slice. Changes that only an event causes are dead-lettered with it."""
        of = proposed.transitions
        rows = zip(of.tenant_id, of.contact_id, of.execution_id, of.is_first_phase, strict=True)
        refused = [
            RefusedExecution(*row) for *row, is_first in rows if not (is_first and blames_event)
        ]
        self._refused.refuse(refused, reason)
        self.uncommitted -= set(zip(of.tenant_id, of.contact_id, strict=True))
        self._changed.set()

    def apply(self, prepared: PreparedExecutions, written: bytes) -> None:
        """A slice was committed, and is in memory. `written` has one byte for each transition. Its
        jobs are published next, and permits returned."""
        proposed, of = prepared.proposed, prepared.change.transitions
        permits = proposed.transitions
        columns = zip(
            written, of.tenant_id, of.contact_id, of.execution_id, of.gate,
            permits.had_permit, permits.has_permit, permits.closes_gate, strict=True,
        )  # fmt: skip
        for number, (is_written, *row) in enumerate(columns):
            if not is_written:
                continue
            tenant, contact, id_, gate, had, has, closes = row
            key = (tenant, id_)
            if self._refused:
                self._refused.written(*key)
            is_granted = self._taken.pop(key, None) is not None
            before = self._jobs.get(key)
            if before is not None and gate != str(before.gate):
                self._jobs.remove(key, is_finished=not closes)
            if number in prepared.jobs:
                self._jobs.add(prepared.jobs[number].in_flight)
                self._publisher.add(prepared.jobs[number])
            if (had or is_granted) and not has:
                self._publisher.return_permits([(tenant, contact, id_)])
        for tenant, id_ in proposed.unused_grants:
            if (grant := self._taken.pop((tenant, id_), None)) is not None:
                self._publisher.return_permits([grant])
        for tenant, action, connection, until in proposed.delays:
            self._releases.delay(QueueKey(tenant, ActionType(action), connection), until)
        self.uncommitted -= set(zip(of.tenant_id, of.contact_id, strict=True))
        self.report.committed(prepared, written)
        self._publisher.wake()
        if any(written):
            self._changed.set()

    async def run(self) -> None:
        """Publish the jobs of committed slices and return permits, until cancelled. A job whose
        gate was closed meanwhile is not published. If Redis was replaced, the jobs are compared
        before the next evaluation. Events are acknowledged without waiting for their jobs: the rows
        have the gates, and a job that was not published gets another one after a crash."""
        while True:
            try:
                await self._publisher.publish()
            except ServerReplaced:
                self._is_admitted = False

    async def configured(self, changed: Configuration) -> None:
        """Load the plans of changed workflows, and let workers refuse the jobs of inactive ones
        (X11)."""
        await self._load_plans(self._memory.configure(changed))

    async def set_waiting(self, workflows: frozenset[WorkflowKey]) -> None:
        """Start no step of these workflows, until their missed events are judged (X7). The caller
        holds `Evaluator.groups`."""
        changed = workflows ^ self._memory.waiting
        self._memory.waiting = workflows
        if changed and not self._memory.is_empty:
            await self._load_plans(sorted(changed))

    async def _load_plans(self, keys: Sequence[WorkflowKey]) -> None:
        load = partial(self._memory.load_plans, self._lease, keys)
        await self._context.retry("Postgres: configuration", "plans", load)
        if self._memory.is_empty:
            return
        self._changed.set()
        active = self._memory.active_among(keys)
        await self._gates.set_active(active, is_active=True)
        await self._gates.set_active(
            [key for key in self._memory.inactive() if key in keys], is_active=False
        )

    async def wait(self) -> None:
        """Return when timers and due steps must be evaluated, although no events arrive."""
        while not self._changed.is_set():
            if self._memory.is_empty:  # no workflow has a plan
                await self._changed.wait()
                break
            sleeping = asyncio.ensure_future(self._context.clock.sleep(TICK_SECONDS))
            changing = asyncio.ensure_future(self._changed.wait())
            try:
                await asyncio.wait({sleeping, changing}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                sleeping.cancel()
                changing.cancel()
            if self._is_due():
                break
        self._changed.clear()

    def _is_due(self) -> bool:
        """Whether an evaluation without events may change executions."""
        if not (self._is_admitted and self._is_evaluated) or self._taken or self._moved:
            return True
        if self._refused or self._jobs.inputs or self._jobs.doubtful:
            return True
        return self._memory.is_due(self.watermark.value_ms())

    def _start(self, of: _native.ExecutionTransitions) -> dict[int, StartedJob]:
        """The jobs that a slice starts, each with a new gate."""
        columns = zip(
            of.job, of.tenant_id, of.contact_id, of.workflow_id, of.execution_id, of.step_id,
            of.visit, of.attempt, of.action, of.connection, strict=True,
        )  # fmt: skip
        started = {}
        for number, (job, *names, visit, attempt, action, connection) in enumerate(columns):
            if job is not None:
                tenant, contact, workflow, execution, step = names
                started[number] = StartedJob(
                    self._gates.next(), tenant, contact, workflow, execution, step,
                    visit, attempt, ActionType(action or ""), connection, *job,
                )  # fmt: skip
        return started

    def _gate_after(
        self, key: Key, job: StartedJob | None, state: str, reason: str | None
    ) -> str | None:
        """The gate of the attempt that is out after a transition."""
        if job is not None:
            return str(job.gate)
        before = self._jobs.get(key) if state == "running" and reason is None else None
        return None if before is None else str(before.gate)

    async def _granted(self) -> list[Grant]:
        """The executions that may start a job. Permits of earlier evaluations that were not
        committed are returned; memory was loaded again since."""
        now = self._context.clock.monotonic()
        while self._moved and self._moved[0][0] <= now:
            self._publisher.return_permits(self._moved.pop(0)[1])
            self._publisher.wake()
        while True:
            try:
                await self._releases.return_permits(self._unused())
                self._taken.clear()
                grants = await self._releases.grants()
            except ServerReplaced:
                self._is_admitted = False
                await self.start()
                continue
            self._taken = {(tenant, id_): (tenant, at, id_) for tenant, at, id_ in grants}
            return grants

    def _unused(self) -> list[Grant]:
        """The grants that no execution has used. A commit with an unknown outcome may have used
        them."""
        if not self._taken:
            return []
        active = {(each.tenant_id, each.execution_id) for each in self._memory.active()}
        return [grant for grant in self._taken.values() if (grant[0], grant[2]) not in active]

    async def _compare(self, jobs: Sequence[JobInFlight]) -> None:
        """Ask the gates of jobs, whose executions were left live after a close (X2)."""
        try:
            self._jobs.answer(await compare(self._gates, jobs, is_continuous=True))
        except ServerReplaced:
            self._is_admitted = False

    async def _outstanding(self, contacts: "set[ContactKey] | None" = None) -> list[JobInFlight]:
        running = [
            ExecutionKey(tenant, id_)
            for tenant, contact, id_ in self._memory.running()
            if contacts is None or (tenant, contact) in contacts
        ]
        if not running:
            return []
        find = partial(self._store.executions.jobs, self._lease, running)
        found = await self._context.retry("Postgres: load", "jobs", find)
        return [
            JobInFlight(
                job.tenant_id, job.contact_id, job.execution_id, job.step_id, job.visit,
                job.attempt, ActionType(job.action or ""), GateId.parse(job.gate), job.age_ms,
            )
            for job in found
        ]  # fmt: skip
