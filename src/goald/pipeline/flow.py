"""The whole story of an event: read, route, evaluate, commit, publish, acknowledge.

A `StreamFlow` reads one stream and routes its events to shards; a `ShardFlow` evaluates,
commits and publishes them; then the `StreamFlow` acknowledges. Neither knows where the
other runs. What fails because a server is away is tried again; a lost lease ends the flow.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from goald.domain.errors import (
    BreakerOpen,
    LeaseLost,
    RetryableError,
    ServerReplaced,
    is_infrastructure_failure,
)
from goald.domain.fail_points import FailPoint, FailPointHook, no_op
from goald.domain.leases import SlotLease, StreamLease
from goald.metrics import ConsumerMetrics, ShardMetrics
from goald.pipeline.ingest.dispatch import ShardDispatcher
from goald.pipeline.ingest.in_flight import InFlight, InFlightBatch
from goald.pipeline.ingest.read import StreamReader
from goald.pipeline.ingest.route import RoutedBatch, Router
from goald.pipeline.ingest.window import InFlightWindow
from goald.pipeline.outbox.publish import OutboxPublisher
from goald.pipeline.poison.breaker import CircuitBreaker
from goald.pipeline.poison.crash_loop_guard import CrashLoopGuard
from goald.pipeline.retry import pauses, retrying
from goald.pipeline.shard.admission import Admission
from goald.pipeline.shard.committer import CommittedSlice, GroupCommitter
from goald.pipeline.shard.config_watcher import ConfigWatcher
from goald.pipeline.shard.early_events import EarlyEvents
from goald.pipeline.shard.evaluate import Evaluator
from goald.pipeline.shard_batch import ShardBatch
from goald.pipeline.stall_detector import STALL_SECONDS, StallDetector
from goald.ports.clock import Clock
from goald.ports.control_stream import ControlStream
from goald.ports.event_stream import EventStream, RawEntry
from goald.ports.outbound import Outbound
from goald.ports.shard_store import ShardStore

log = logging.getLogger(__name__)

WAIT_SECONDS = 1.0
EXAMINE_SECONDS = 1.0
"""Between two looks whether a stream is what it was, and all of it there."""
SURVIVED_SECONDS = 1.0
"""After so long a consumer has not died of handing over an entry."""
GROUPS_PUBLISHING = 4

T = TypeVar("T")


class StreamFlow:
    """One stream's events: read, route, hand over, and at the very end acknowledge."""

    def __init__(
        self,
        *,
        stream: EventStream,
        lease: StreamLease,
        reader: StreamReader,
        route: Router,
        lanes: Sequence[ShardDispatcher],
        window: InFlightWindow,
        outbound: Outbound,
        breaker: CircuitBreaker,
        clock: Clock,
        metrics: ConsumerMetrics,
        pause: float = 0.0,
        patience: float = STALL_SECONDS,
        hold: float = 0.0,
        fail_point: FailPointHook = no_op,
    ) -> None:
        """In seconds: `pause` between two reads of a stream that is not behind; `patience` with
        a batch under way; `hold`, how long it stays unacknowledged at least (E7)."""
        self._stream = stream
        self._lease = lease
        self._reader = reader
        self._route = route
        self._lanes = lanes
        self._window = window
        self._outbound = outbound
        self._breaker = breaker
        self._clock = clock
        self._metrics = metrics
        self._pause = pause
        self._patience = patience
        self._hold = hold
        self._fail_point = fail_point
        self._stall_detector = StallDetector(clock)
        self._in_flight = InFlight(window, clock)
        self._begun = asyncio.Event()
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Until stopped; then what is under way is finished first (D7), or left to be read again
        where the breaker is open. Raises LeaseLost, in an ExceptionGroup."""
        try:
            while not await self._follow(await self._begin()):
                log.warning("%s is read anew", self._stream.name)
        except BaseException as error:
            if is_infrastructure_failure(error):
                await self._end()
            raise
        await self._end()

    @property
    def not_ready_reason(self) -> str | None:
        """Why the stream stands still, a short phrase without addresses; None where it does
        not. Tells in the consumer's heartbeat, which is not ready then."""
        if self._breaker.not_ready_reason or self._stall_detector.not_ready_reason:
            return self._breaker.not_ready_reason or self._stall_detector.not_ready_reason
        if lost := [number for number, lane in enumerate(self._lanes) if lane.is_lost]:
            return f"shard {lost[0]} takes no events"
        seconds = self._in_flight.seconds
        if seconds > self._patience:
            return f"what was read {seconds:.0f} s ago is not done"
        return None if self._begun.is_set() else "it has just begun"

    async def begun(self) -> None:
        """Wait until it reads."""
        await self._begun.wait()

    def stop(self) -> None:
        """Read no more. `run` returns within the time of a wait and what is under way."""
        self._stopped.set()

    async def _begin(self) -> CrashLoopGuard:
        """Claim the stream, and wait for the shards to be done with what was read of it before,
        if it was: that cannot be acknowledged any more, and is not to be beside what is read."""
        for pause in pauses():
            try:
                position = await self._trying("fence", lambda: self._stream.fence(self._lease))
                self._fail_point(FailPoint.STREAM_FENCED)
                start = await self._trying("count a start", self._stream.count_start)
            except ServerReplaced:
                await self._clock.sleep(pause)
                continue
            self._begun.set()
            await self._in_flight.let_go()
            self._reader.begin(position)
            return CrashLoopGuard(self._stream, start)
        raise AssertionError("pauses never end")

    async def _follow(self, care: CrashLoopGuard) -> bool:
        """Read until stopped; False where the stream is not the one that was claimed."""
        followed = True
        try:
            async with asyncio.TaskGroup() as tasks:
                helpers = [
                    tasks.create_task(self._acknowledge()),
                    tasks.create_task(self._give_up()),
                ]
                await self._read(care)
                await self._quiet()
                for helper in helpers:
                    helper.cancel()
        except* ServerReplaced as replaced:
            log.warning("%s: %s", self._stream.name, replaced.exceptions[0])
            self._metrics.replaced.labels(self._stream.name).inc()
            followed = False
        except* BreakerOpen:
            pass
        return followed

    async def _give_up(self) -> None:
        """Raises BreakerOpen once the breaker is open and somebody stops this."""
        await self._stopped.wait()
        while True:
            self._breaker.check()
            await self._clock.sleep(WAIT_SECONDS / 10)

    async def _end(self) -> None:
        """Say that this end has nothing to do with an event, if that can be said."""
        with contextlib.suppress(RetryableError, LeaseLost, ServerReplaced, TimeoutError):
            async with asyncio.timeout(WAIT_SECONDS):
                await self._stream.clear_starts()

    async def _read(self, care: CrashLoopGuard) -> None:
        examined = -EXAMINE_SECONDS
        while not self._stopped.is_set() and self._breaker.not_ready_reason is None:
            if self._clock.monotonic() - examined >= EXAMINE_SECONDS:
                examined = self._clock.monotonic()
                await self._examine()
            entries = await self._trying("read", partial(self._reader.read, care.at_most))
            if not entries:
                care.end()
                await self._trying("wait", lambda: self._reader.wait(WAIT_SECONDS))
                continue
            self._fail_point(FailPoint.READ)
            self._metrics.read.labels(self._stream.name).inc(len(entries))
            self._metrics.read_entries.observe(len(entries))
            routed = await self._trying("try", partial(care.try_alone, entries))
            if routed is None:
                routed = self._route(entries)
                self._fail_point(FailPoint.ROUTED)
            else:
                self._metrics.buried.inc()
            self._reader.learn(len(entries), routed.size)
            await self._window.enter(routed.size)
            batch = self._hand_over(entries, routed)
            await self._in_flight.put(batch)
            self._fail_point(FailPoint.DISPATCHED)
            if care.at_most is not None:
                # Nothing goes beside it. That nobody here has died of it is known before.
                await batch.wait(SURVIVED_SECONDS)
                await self._trying("survive", care.survived)
                await self._quiet()
            elif not self._reader.is_behind(entries):
                await self._clock.sleep(self._pause)

    async def _quiet(self) -> None:
        """Wait until no shard has anything of it to do. What is merely held (E7) is not waited
        for: that would be its time for each entry that goes alone."""
        await (self._in_flight.done() if self._hold else self._in_flight.empty())

    async def _examine(self) -> None:
        lost = await self._trying("count_lost", self._reader.count_lost)
        if lost:
            log.error("%s: %d entries or more were trimmed unread", self._stream.name, lost)
            self._metrics.lost.labels(self._stream.name).inc(lost)

    def _hand_over(self, entries: list[RawEntry], routed: RoutedBatch) -> InFlightBatch:
        done = [
            self._lanes[shard].put(self._stream.name, self._lease.epoch, buffer)
            for shard, buffer, _ in routed.buffers
        ]
        last, now = entries[-1][0], self._clock.monotonic()
        return InFlightBatch(last, len(entries), routed.size, routed.dead, done, now)

    async def _acknowledge(self) -> None:
        """Batch by batch, in the order in which they were read, each when all that it caused
        is committed and published (D2)."""
        name = self._stream.name
        while True:
            batch = await self._in_flight.first()
            if batch.dead:
                await self._trying("dead_letter", partial(self._outbound.dead_letter, batch.dead))
                self._fail_point(FailPoint.REJECTS_DEAD_LETTERED)
            await batch.wait()
            if self._hold:
                await self._clock.sleep(batch.at + self._hold - self._clock.monotonic())
            self._fail_point(FailPoint.SHARDS_DONE)
            await self._trying(
                "acknowledge", partial(self._stream.acknowledge, batch.last, batch.entries)
            )
            self._fail_point(FailPoint.ACKNOWLEDGED)
            await self._in_flight.leave()
            self._metrics.acknowledged.labels(name).inc(batch.entries)
            self._metrics.rejected.inc(len(batch.dead))

    async def _trying(self, step: str, call: Callable[[], Awaitable[T]]) -> T:
        with self._stall_detector.step(f"Redis: {step}"):
            return await retrying(call, self._clock, self._metrics.retries.labels(step).inc)


class ShardFlow:
    """The events of a range of slots: evaluate, commit, publish. A `Shard`."""

    def __init__(
        self,
        *,
        evaluator: Evaluator,
        store: ShardStore,
        publisher: OutboxPublisher,
        control: ControlStream,
        lease: SlotLease,
        clock: Clock,
        metrics: ShardMetrics,
        group_bytes: int,
        reconcile: float,
        early_events: float = 0.0,
        fail_point: FailPointHook = no_op,
    ) -> None:
        """`reconcile`: seconds after which the configuration is asked for all the same.
        `early_events`: seconds that events wait for their enrollments (E7)."""
        self._publisher = publisher
        self._clock = clock
        self._metrics = metrics
        self._fail_point = fail_point
        self._settled: asyncio.Queue[CommittedSlice] = asyncio.Queue(GROUPS_PUBLISHING)
        self._breaker = CircuitBreaker(metrics.breaker_open)
        self._stall_detector = StallDetector(clock)
        self._admission = Admission(self._breaker, fail_point, group_bytes=group_bytes)
        self._settling = GroupCommitter(
            evaluator=evaluator,
            store=store,
            publisher=publisher,
            lease=lease,
            clock=clock,
            metrics=metrics,
            breaker=self._breaker,
            stall_detector=self._stall_detector,
            early=EarlyEvents(early_events, clock) if early_events > 0 else None,
            fail_point=fail_point,
        )
        self._following = ConfigWatcher(
            control=control,
            store=store,
            evaluator=evaluator,
            memory=self._settling.memory,
            lease=lease,
            clock=clock,
            metrics=metrics,
            reconcile=reconcile,
            fail_point=fail_point,
        )

    async def process(self, parts: Sequence[ShardBatch]) -> None:
        """See `Shard.process`. Parts taken stay taken if the caller goes away."""
        await self._admission.process(parts)

    @property
    def not_ready_reason(self) -> str | None:
        """Why events are not processed, a short phrase without addresses; None where they are.
        Tells in the shard's heartbeat, which is not ready then."""
        return (
            self._breaker.not_ready_reason
            or self._stall_detector.not_ready_reason
            or self._publisher.not_ready_reason
        )

    async def run(self) -> None:
        """Until cancelled. Raises LeaseLost, in an ExceptionGroup."""
        async with asyncio.TaskGroup() as steps:
            steps.create_task(self._evaluate_and_commit())
            steps.create_task(self._publish())
            steps.create_task(self._publisher.run())
            steps.create_task(self._following.run())

    async def _evaluate_and_commit(self) -> None:
        """All that waits is evaluated together, committed, and taken into memory; then the next.
        Until the breaker opens: then nothing more is, and whoever handed events over is told."""
        while True:
            group = await self._admission.next()
            try:
                async with contextlib.aclosing(self._settling.settle(group)) as settling:
                    async for settled in settling:
                        await self._settled.put(settled)
            except BreakerOpen:
                self._admission.give_up(group)
                return

    async def _publish(self) -> None:
        while True:
            settled = await self._settled.get()
            with (
                self._metrics.stage_seconds.labels("publish").time(),
                self._stall_detector.step("Redis: publish"),
            ):
                await self._publisher.publish(settled.committed.outbox, settled.letters)
            if settled.group is not None:
                settled.group.done()
                self._fail_point(FailPoint.DONE)
            effective = settled.committed.effective
            self._metrics.count(settled.proposal, effective, self._clock.now_us())
