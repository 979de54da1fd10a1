"""The path of an event through goald:

1. **read** the next entries of an event stream (`StreamFlow`, in a consumer)
2. **route** each by its slot, **dispatch** it to the shard that owns the slot
3. **evaluate** it against the goals and enrollments in memory (`ShardFlow`, in a shard)
4. **commit** the result to Postgres, **apply** the committed effects to memory
5. **publish** the committed exits and notices
6. **acknowledge** the entries, when all of that is done (`StreamFlow`)

Neither flow knows where the other runs: dispatch calls `ShardFlow.process`, and that returns after
step 5. While Redis or Postgres is unavailable, every step is retried and
nothing is lost (D6). LeaseLost
ends a flow, because another process holds the lease (D3). An open circuit breaker stops it (D4).
"""

import asyncio
from collections.abc import Callable, Sequence

from goald import _native
from goald.domain.errors import BreakerOpen, ContentRefused, RetryableError
from goald.domain.fail_points import FailPoint
from goald.pipeline.context import ConsumerContext, ShardContext
from goald.pipeline.ingest.dispatch import ShardDispatcher
from goald.pipeline.ingest.in_flight import InFlight, InFlightBatch
from goald.pipeline.ingest.route import RoutedBatch, Router
from goald.pipeline.ingest.session import StreamSession
from goald.pipeline.outbox.publish import OutboxPublisher
from goald.pipeline.poison.crash_loop_guard import CrashLoopGuard
from goald.pipeline.poison.dead_letters import DeadLetters
from goald.pipeline.shard.admission import Admission
from goald.pipeline.shard.committer import GroupCommitter, is_stale
from goald.pipeline.shard.config_watcher import ConfigWatcher
from goald.pipeline.shard.evaluate import Evaluator
from goald.pipeline.shard.group import Group
from goald.pipeline.shard.progress import CommittedSlice, GroupProgress
from goald.pipeline.shard_batch import ShardBatch
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
    ) -> None:
        """`dispatchers`: one for each shard, in the order of the router's slot ranges."""
        self._context = context
        self._session = session
        self._route = route
        self._dispatchers = dispatchers
        self._in_flight = in_flight
        self._dead_letters = dead_letters
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Run until `stop`, then finish what is in flight (D7), unless the circuit breaker is
        open. Raises LeaseLost, in an ExceptionGroup."""
        await self._session.run(self._follow)  # again whenever Redis was replaced (D10)

    def stop(self) -> None:
        """Stop reading. `run` returns when what is in flight has been acknowledged."""
        self._stopped.set()

    async def _follow(self, guard: CrashLoopGuard) -> None:
        """Process the stream from its acknowledged position."""
        await self._in_flight.discard()  # earlier reads are repeated
        async with asyncio.TaskGroup() as tasks:
            helpers = [
                tasks.create_task(self._acknowledge_in_order()),
                tasks.create_task(self._end_if_broken()),
            ]
            await self._read_route_dispatch(guard)
            await self._in_flight.wait_idle()
            for helper in helpers:
                helper.cancel()

    async def _read_route_dispatch(self, guard: CrashLoopGuard) -> None:
        while not self._stopped.is_set() and self._dead_letters.breaker.not_ready_reason is None:
            if guard.isolates:  # earlier consumers died repeatedly at this position
                await self._deliver_isolated(guard)
                continue
            entries = await self._session.read()
            if not entries:
                await self._session.wait()
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
        """Queue a buffer for each shard. Waits while too much is in flight.

        A dispatcher sends unprocessed batches again. It finds an event that kills a shard by
        sending ever smaller batches, and dead-letters it (D4).
        """
        self._session.learn(len(entries), routed.size)
        await self._in_flight.reserve(routed.size)
        processed = [
            self._dispatchers[shard].put(self._session.name, self._session.epoch, buffer)
            for shard, buffer, _ in routed.buffers
        ]
        batch = await self._in_flight.add(entries, routed, processed)
        self._context.fail_point(FailPoint.DISPATCHED)
        return batch

    async def _acknowledge_in_order(self) -> None:
        """Acknowledge each batch when all its effects are committed and published (D2)."""
        while True:
            batch = await self._in_flight.first()
            if batch.dead_letters:  # no tenant and contact could be found in these
                await self._dead_letters.write(batch.dead_letters)
            await self._in_flight.wait_processed(batch)
            self._context.fail_point(FailPoint.SHARDS_DONE)
            await self._session.acknowledge(batch)
            await self._in_flight.remove_first()

    async def _end_if_broken(self) -> None:
        """Once stopped, do not wait for events that an open circuit breaker keeps in flight."""
        await self._stopped.wait()
        await self._dead_letters.breaker.wait_open()

    @property
    def not_ready_reason(self) -> str | None:
        """Why the stream is not being processed, as a short phrase without addresses; None if
        it is. The consumer's heartbeat reports it."""
        breaker, stalls = self._dead_letters.breaker, self._context.stall_detector
        return first_reason(breaker, stalls, *self._dispatchers, self._in_flight, self._session)


class ShardFlow:
    """The events of a slot range: evaluate, commit, apply, publish. A `Shard`."""

    def __init__(
        self,
        context: ShardContext,
        admission: Admission,
        evaluator: Evaluator,
        committer: GroupCommitter,
        publisher: OutboxPublisher,
        config_watcher: ConfigWatcher,
        begin: Callable[[Group], GroupProgress],
    ) -> None:
        """`begin` returns a new group's progress."""
        self._context = context
        self._admission = admission
        self._evaluator = evaluator
        self._committer = committer
        self._publisher = publisher
        self._config_watcher = config_watcher
        self._begin = begin
        self._to_publish: asyncio.Queue[CommittedSlice] = asyncio.Queue(SLICES_TO_PUBLISH)

    async def process(self, batches: Sequence[ShardBatch]) -> None:
        """See `Shard.process`. Admitted batches are processed even if the caller disconnects."""
        await self._admission.process(batches)

    async def run(self) -> None:
        """Run until cancelled. Raises LeaseLost, in an ExceptionGroup."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._process_groups())
            tasks.create_task(self._publish())
            tasks.create_task(self._publisher.run())
            tasks.create_task(self._config_watcher.run())

    async def _process_groups(self) -> None:
        """Process all waiting batches as one group, then the next (group commit). When the circuit
        breaker opens, stop: then `process` raises BreakerOpen."""
        while True:
            group = await self._admission.next()
            try:
                await self._evaluate_commit_apply(self._begin(group))
            except BreakerOpen:
                self._admission.reject(group)
                return

    async def _evaluate_commit_apply(self, progress: GroupProgress) -> None:
        """Process one group. `progress` yields the whole group; after a failure, the rest."""
        for group in progress:
            for proposal in progress.slices(self._evaluate(group)):
                try:
                    async with self._evaluator.lock:  # the configuration does not change meanwhile
                        committed = await self._committer.commit(proposal)
                        self._committer.apply(proposal, committed)
                except ContentRefused as refused:
                    # Postgres refuses a row: bisect, until only the refused event is left (D4).
                    if progress.bisect(proposal, refused):
                        continue
                    committed = self._committer.skip(proposal)
                except RetryableError:
                    # The commit failed, or its outcome is unknown: reload, evaluate again.
                    await self._committer.reload("commit", group, progress.repeat())
                    continue
                if is_stale(proposal, committed):
                    # Memory differed from the table: publish the commit, reload, evaluate again.
                    await self._publisher.publish(committed.outbox)
                    await self._committer.reload("stale_cache", group, progress.repeat())
                    continue
                await self._to_publish.put(progress.conclude(proposal, committed))  # -> _publish
                self._admission.breaker.check()  # raises after too many refused events in a row

    def _evaluate(self, group: Group) -> _native.Proposal:
        """Return what the events of a group would change. Memory does not change."""
        with self._context.metrics.stage_seconds.labels("evaluate").time():
            proposal = self._evaluator.evaluate(group.buffers, self._context.clock.now_us())
        self._context.fail_point(FailPoint.EVALUATED)
        return proposal

    async def _publish(self) -> None:
        """Publish slice by slice, while the next group is evaluated. The calls that sent a
        group's batches return when its last slice is published."""
        metrics = self._context.metrics
        while True:
            each = await self._to_publish.get()
            with metrics.stage_seconds.labels("publish").time():
                await self._publisher.publish(each.committed.outbox, each.dead_letters)
            if each.group is not None:
                each.group.done()
                self._context.fail_point(FailPoint.DONE)
            metrics.count(each.proposal, each.committed.effective, self._context.clock.now_us())

    @property
    def not_ready_reason(self) -> str | None:
        """Why events are not being processed, as a short phrase without addresses; None if they
        are. The shard's heartbeat reports it."""
        return first_reason(self._admission.breaker, self._context.stall_detector)
