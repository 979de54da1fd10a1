"""The path of an event through goald:

1. **read** the next entries of an event stream: a batch (`StreamFlow`, in a consumer)
2. **route** each entry by its slot, **dispatch** the batch to the shards that own the slots, and
   **mark** for every shard until when the stream was dispatched
3. **evaluate** waiting batches as one group against the goals and enrollments in memory, within
   each tenant's share of work (`ShardFlow`, in a shard); the result is a proposal, in slices
4. **commit** a slice to Postgres, with an outbox row for each message, after the gates of the
   executions that it ends are closed; **apply** it to memory
5. **publish** the outbox rows of the slice to `goald:exits` and `goald:notices`, and its jobs
6. **acknowledge** the batch, when all of that is done for it and for earlier ones (`StreamFlow`);
   events of merged contacts are first **forwarded** to the shards of the contacts that continue

Dispatch calls `ShardFlow.process`, over Ray; it returns after step 5 (another call waits for the
deferred events). Between two groups, a shard exits what paused workflows missed (`MissedEvents`),
and evaluates the timers and steps of executions that are due (`ShardExecutions`).

Events may be evaluated twice: the second time changes nothing. So goald repeats
what is not done after a failure:

- Redis or Postgres unavailable (D6): the object that makes a call retries it.
- Commit failed, or outcome unknown: reload memory, publish committed rows, evaluate again.
- Postgres refuses a row: bisection finds the event, which is dead-lettered (D4).
- Shard died (a failed evaluation ends it): batches are sent again, committed rows are published.
- Consumer died: the next one reads from the acknowledged position.
- An event kills shards or consumers: it is isolated, its attempts are counted, and in the end it
  is dead-lettered (D4). Many such events in a row open the circuit breaker: processing stops.
- Lease lost: read, commit and acknowledge raise LeaseLost, which ends the flow (D3).

See docs/reference/rules.md (rules) and docs/explanation/failure-model.md (all failures).
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

from goald import _native
from goald.domain.errors import BreakerOpen, ContentRefused, RetryableError
from goald.domain.fail_points import FailPoint
from goald.pipeline.context import ConsumerContext, ShardContext
from goald.pipeline.executions.shard import ShardExecutions
from goald.pipeline.ingest.dispatch import ShardDispatcher
from goald.pipeline.ingest.forward import Forwarder
from goald.pipeline.ingest.in_flight import InFlight, InFlightBatch
from goald.pipeline.ingest.marks import PROBE_SECONDS
from goald.pipeline.ingest.route import RoutedBatch, Router
from goald.pipeline.ingest.session import StreamSession
from goald.pipeline.outbox.publish import OutboxPublisher
from goald.pipeline.poison.crash_loop_guard import CrashLoopGuard
from goald.pipeline.poison.dead_letters import DeadLetters
from goald.pipeline.shard import stored_facts
from goald.pipeline.shard.admission import Admission
from goald.pipeline.shard.committer import GroupCommitter, is_stale
from goald.pipeline.shard.config_watcher import ConfigWatcher
from goald.pipeline.shard.ended_loader import EndedLoader
from goald.pipeline.shard.evaluate import Evaluator
from goald.pipeline.shard.group import Group
from goald.pipeline.shard.missed.events import MissedEvents
from goald.pipeline.shard.progress import CommittedSlice, GroupProgress
from goald.pipeline.shard.transfers import Transfers
from goald.pipeline.shard_batch import Processed, ShardBatch, StreamMark
from goald.pipeline.stall_detector import first_reason
from goald.ports.event_stream import RawEntry

OBSERVATION_SECONDS = 1.0
"""An isolated entry is safe if the consumer is still alive this long after dispatching it."""
SLICES_TO_PUBLISH = 4


class StreamFlow:
    """The events of one stream: read, route, dispatch, and at the end acknowledge."""

    def __init__(
        self,
        context: ConsumerContext,
        session: StreamSession,
        route: Router,
        dispatchers: Sequence[ShardDispatcher],
        in_flight: InFlight,
        dead_letters: DeadLetters,
        forwarder: Forwarder,
    ) -> None:
        """`dispatchers`: one for each shard, in the order of the router's slot ranges."""
        self._context = context
        self._session = session
        self._route = route
        self._dispatchers = dispatchers
        self._in_flight = in_flight
        self._dead_letters = dead_letters
        self._forwarder = forwarder
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Run until `stop`, then finish what is in flight (D7), unless the circuit breaker is
        open. Raises LeaseLost, in an ExceptionGroup."""
        await self._session.run(self._follow)  # again whenever Redis was replaced (D10)

    def stop(self) -> None:
        """Stop reading. `run` returns when what is in flight has been acknowledged."""
        self._stopped.set()
        self._session.end_wait()

    async def _follow(self, guard: CrashLoopGuard) -> None:
        """Process the stream from its acknowledged position."""
        await self._in_flight.discard()  # earlier reads are repeated
        async with asyncio.TaskGroup() as tasks:
            background = self._acknowledge_in_order(), self._end_if_broken()
            running = [tasks.create_task(each) for each in background]
            await self._read_route_dispatch(guard)
            await self._in_flight.wait_idle()
            for task in running:
                task.cancel()

    async def _read_route_dispatch(self, guard: CrashLoopGuard) -> None:
        while not self._stopped.is_set() and self._dead_letters.breaker.not_ready_reason is None:
            if guard.isolates:  # earlier consumers died repeatedly at this position
                await self._deliver_isolated(guard)
                continue
            entries = await self._session.read()
            if not entries:
                await self._session.wait(self._mark())
                continue
            routed = self._route(entries)
            await self._dispatch(entries, routed)
            await self._session.pause_after(entries)

    async def _deliver_isolated(self, guard: CrashLoopGuard) -> None:
        """Read, route and dispatch one entry with nothing else in flight. An entry that killed
        consumers too often is dead-lettered instead (D4)."""
        entries = await self._session.read(1)
        if not entries:
            guard.end()
            return
        dead_letter = await guard.count_attempt(entries[0])
        routed = self._route(entries) if dead_letter is None else RoutedBatch.dead(dead_letter)
        batch = await self._dispatch(entries, routed)
        await batch.wait(OBSERVATION_SECONDS)
        await guard.clear_attempts()
        await self._in_flight.wait_idle()

    async def _dispatch(self, entries: list[RawEntry], routed: RoutedBatch) -> InFlightBatch:
        """Queue a buffer for each shard. Waits while too much is in flight."""
        self._session.observe_size(len(entries), routed.size)
        await self._in_flight.reserve(routed.size)
        processed = [
            self._dispatchers[shard].put(self._session.name, self._session.epoch, buffer)
            for shard, buffer, _ in routed.buffers
        ]
        self._forwarder.has_dispatched(entries[-1][0])
        self._mark()
        batch = await self._in_flight.add(entries, routed, processed)
        self._context.fail_point(FailPoint.DISPATCHED)
        return batch

    def _mark(self) -> float:
        """Every shard was given its entries of the last read and before: timers that are due until
        then may fire when it has committed them (X6). Return the seconds until the next mark."""
        name, epoch, until_ms = self._session.name, self._session.epoch, self._session.until_ms
        for dispatcher in self._dispatchers:
            dispatcher.marks.put(name, epoch, until_ms)
        return min((each.marks.seconds for each in self._dispatchers), default=PROBE_SECONDS)

    async def _acknowledge_in_order(self) -> None:
        """Acknowledge each batch when all its effects are committed and published (D2)."""
        while True:
            batch = await self._in_flight.first()
            if batch.dead_letters:  # entries that cannot be routed, or that killed consumers
                await self._dead_letters.write(batch.dead_letters)
            await self._in_flight.wait_processed(batch)
            if forwarded := batch.forwarded:  # events of merged contacts (E21)
                await self._forwarder.deliver(forwarded)
            self._context.fail_point(FailPoint.SHARDS_DONE)
            await self._session.acknowledge(batch)
            await self._in_flight.remove_first()

    async def _end_if_broken(self) -> None:
        """After `stop`, end the flow if the breaker is open; do not wait for events in flight."""
        await self._stopped.wait()
        await self._dead_letters.breaker.wait_open()  # raises BreakerOpen, which ends the session

    @property
    def not_ready_reason(self) -> str | None:
        """Why the stream is not being processed, for the consumer's heartbeat; None if it is."""
        breaker, stalls = self._dead_letters.breaker, self._context.stall_detector
        return first_reason(breaker, stalls, *self._dispatchers, self._in_flight, self._session)


class ShardWatchers(NamedTuple):
    """The objects that follow other changes than those by events."""

    config: ConfigWatcher
    transfers: Transfers
    missed: MissedEvents
    ended: EndedLoader
    executions: ShardExecutions | None = None
    """None in a shard that runs no workflows."""


class ShardFlow:
    """The events of a slot range: evaluate, commit, apply, publish. Implements `Shard`."""

    def __init__(
        self,
        context: ShardContext,
        admission: Admission,
        evaluator: Evaluator,
        committer: GroupCommitter,
        publisher: OutboxPublisher,
        watchers: ShardWatchers,
        start_progress: Callable[[Group], GroupProgress],
    ) -> None:
        self._context = context
        self._admission = admission
        self._evaluator = evaluator
        self._committer = committer
        self._publisher = publisher
        self._config_watcher = watchers.config
        self._transfers = watchers.transfers
        self._missed = watchers.missed
        self._ended_loader = watchers.ended
        self._executions = watchers.executions
        self._start_progress = start_progress
        self._to_publish: asyncio.Queue[CommittedSlice] = asyncio.Queue(SLICES_TO_PUBLISH)

    async def process(self, batches: Sequence[ShardBatch]) -> Processed:
        """See `Shard.process`. Admitted batches are processed even if the caller disconnects."""
        return await self._admission.process(batches, self._transfers.adopted)

    def mark(self, marks: Sequence[StreamMark]) -> bool:
        """See `Shard.mark`."""
        return self._executions is not None and self._executions.mark(marks)

    async def run(self) -> None:
        """Run until cancelled. Raises LeaseLost, in an ExceptionGroup."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._process_groups())
            tasks.create_task(self._publish())
            tasks.create_task(self._publisher.run())
            tasks.create_task(self._config_watcher.run())
            tasks.create_task(self._transfers.run())
            tasks.create_task(self._missed.run())
            tasks.create_task(self._ended_loader.run())
            if self._executions is not None:
                tasks.create_task(self._executions.run())
                tasks.create_task(self._process_due(self._executions))

    async def _process_groups(self) -> None:
        """Group commit: process waiting batches together. Stop when the circuit breaker opens."""
        async with self._evaluator.groups:
            await self._missed.start()
        while True:
            group = await self._admission.next()
            try:
                async with self._evaluator.groups:
                    await self._evaluate_commit_apply(self._start_progress(group))
            except BreakerOpen:
                self._admission.reject(group)
                return

    async def _process_due(self, executions: ShardExecutions) -> None:
        """Process timers and steps that are due, as a group without events (X6, X16). Stop when
        the circuit breaker opens."""
        with contextlib.suppress(BreakerOpen):
            while True:
                await executions.wait()
                async with self._evaluator.groups:
                    self._admission.breaker.check()
                    await self._evaluate_commit_apply(self._start_progress(Group((), ())))

    async def _evaluate_commit_apply(self, progress: GroupProgress) -> None:
        """Process one group. `progress` yields the whole group and its slices; after a failure,
        `bisect` and `repeat` replace what it yields next."""
        for group in progress:
            for proposal in progress.slices(await self._evaluate(group)):
                try:
                    async with self._evaluator.lock:  # no new configuration between these two
                        committed = await self._committer.commit(proposal)
                        self._committer.apply(proposal, committed)
                except ContentRefused as refused:
                    if progress.bisect(proposal, refused):
                        continue
                    blames_event = progress.blames_event  # then the event is dead-lettered
                    committed = self._committer.skip(proposal, refused, blames_event=blames_event)
                except RetryableError:
                    await self._committer.reload("commit", group, progress.repeat())
                    continue
                taken_over = await self._transfers.of_conflicts(proposal, committed)
                if taken_over or is_stale(proposal, committed):  # memory differed from Postgres
                    await self._publisher.publish(committed.outbox)
                    await self._committer.reload("stale_cache", group, progress.repeat())
                    continue
                await self._to_publish.put(progress.conclude(proposal, committed))
                self._admission.breaker.check()  # raises if `conclude` has opened the breaker

    async def _evaluate(self, group: Group) -> _native.Proposal:
        """Return what the events of a group would change. Memory does not change."""
        now_us, stored = self._context.clock.now_us(), self._committer
        group = self._admission.turns.without_suspended(group)
        group = await self._transfers.with_returned(group)
        with self._context.metrics.stage_seconds.labels("evaluate").time():
            facts, evaluator = await stored.execution_facts(), self._evaluator
            proposal = await stored_facts.evaluate(evaluator, group, now_us, stored, facts)
            while proposal.forwarded and await self._transfers.forwards_changed():
                facts = await stored.execution_facts()
                proposal = await stored_facts.evaluate(evaluator, group, now_us, stored, facts)
        self._context.fail_point(FailPoint.EVALUATED)
        return proposal

    async def _publish(self) -> None:
        """Publish each slice while the next is committed. A group is done with its last slice."""
        metrics = self._context.metrics
        while slice_ := await self._to_publish.get():
            with metrics.stage_seconds.labels("publish").time():
                await self._publisher.publish(slice_.committed.outbox, slice_.dead_letters)
            if slice_.group is not None:  # the last slice of its group
                slice_.group.done()
                self._context.fail_point(FailPoint.DONE)
            metrics.count(slice_.proposal, slice_.committed.effective, self._context.clock.now_us())

    @property
    def not_ready_reason(self) -> str | None:
        """Why events are not being processed, for the shard's heartbeat; None if they are."""
        sources = (self._admission.breaker, self._context.stall_detector)
        executions = () if self._executions is None else (self._executions.report,)
        return first_reason(*sources, *executions)
