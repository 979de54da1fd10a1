"""The whole story of an event: read, route, evaluate, commit, publish, acknowledge.

A `StreamFlow` reads one stream and routes its events to shards; a `ShardFlow` evaluates,
commits and publishes them; then the `StreamFlow` acknowledges. Neither knows where the
other runs. What fails because a server is away is tried again; a lost lease ends the flow.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from goald import _native
from goald.domain.errors import RetryableError, ServiceUnavailable
from goald.domain.leases import SlotLease, StreamLease
from goald.domain.steps import Reached, Step, pass_by
from goald.metrics import ConsumerMetrics, ShardMetrics
from goald.pipeline.commit import commit
from goald.pipeline.evaluate import Evaluator
from goald.pipeline.group import Group, Inbox
from goald.pipeline.handover import Lane
from goald.pipeline.parts import Part
from goald.pipeline.publish import Publisher
from goald.pipeline.read import Reader
from goald.pipeline.retry import pauses, retrying
from goald.pipeline.route import Route, RoutedBatch
from goald.pipeline.sequence import Sequencer
from goald.pipeline.window import Window
from goald.ports import (
    Clock,
    Committed,
    ControlStream,
    DeadLetter,
    EventStream,
    Outbound,
    RawEntry,
    ShardStore,
)

WAIT_SECONDS = 1.0
CONTROL_RETRY_SECONDS = 1.0
GROUPS_PUBLISHING = 4

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class HandedOver:
    """A batch on its way through the shards."""

    last: bytes
    """The id of its last entry."""
    entries: int
    routed: RoutedBatch
    done: "list[asyncio.Future[None]]"


class StreamFlow:
    """One stream's events: read, route, hand over, and at the very end acknowledge."""

    def __init__(
        self,
        *,
        stream: EventStream,
        lease: StreamLease,
        reader: Reader,
        route: Route,
        lanes: Sequence[Lane],
        window: Window,
        outbound: Outbound,
        clock: Clock,
        metrics: ConsumerMetrics,
        pause: float = 0.0,
        reached: Reached = pass_by,
    ) -> None:
        """`pause`: seconds between two reads while the stream is not behind."""
        self._stream = stream
        self._lease = lease
        self._reader = reader
        self._route = route
        self._lanes = lanes
        self._window = window
        self._outbound = outbound
        self._clock = clock
        self._metrics = metrics
        self._pause = pause
        self._reached = reached
        self._stopping = False

    async def run(self) -> None:
        """Until stopped; then what is under way is finished first (D7). Raises LeaseLost, in
        an ExceptionGroup."""
        position = await self._trying("claim", lambda: self._stream.claim(self._lease))
        self._reached(Step.STREAM_CLAIMED)
        self._reader.begin(position)
        under_way: asyncio.Queue[HandedOver | None] = asyncio.Queue()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._acknowledge(under_way))
            while not self._stopping:
                entries = await self._trying("read", self._reader.read)
                if not entries:
                    await self._trying("wait", lambda: self._reader.wait(WAIT_SECONDS))
                    continue
                self._reached(Step.READ)
                self._metrics.read.labels(self._stream.name).inc(len(entries))
                self._metrics.read_entries.observe(len(entries))
                routed = self._route(entries)
                self._reached(Step.ROUTED)
                self._reader.learn(len(entries), routed.size)
                await self._window.enter(routed.size)
                under_way.put_nowait(self._hand_over(entries, routed))
                self._reached(Step.HANDED_OVER)
                if not self._reader.is_behind(entries):
                    await self._clock.sleep(self._pause)
            under_way.put_nowait(None)

    @property
    def trouble(self) -> str | None:
        """Why the stream stands still, a short phrase without addresses; None where it does
        not. Tells in the consumer's heartbeat, which is not ready then."""
        return None

    def stop(self) -> None:
        """Read no more. `run` returns within the time of a wait and what is under way."""
        self._stopping = True

    def _hand_over(self, entries: list[RawEntry], routed: RoutedBatch) -> HandedOver:
        done = [
            self._lanes[shard].put(self._stream.name, self._lease.epoch, buffer)
            for shard, buffer, _ in routed.buffers
        ]
        return HandedOver(entries[-1][0], len(entries), routed, done)

    async def _acknowledge(self, under_way: asyncio.Queue[HandedOver | None]) -> None:
        """Batch by batch, in the order in which they were read, each when all that it caused
        is committed and published (D2)."""
        name = self._stream.name
        while (batch := await under_way.get()) is not None:
            await self._settled(batch)
            self._reached(Step.SHARDS_DONE)
            await self._trying(
                "acknowledge", partial(self._stream.acknowledge, batch.last, batch.entries)
            )
            self._reached(Step.ACKNOWLEDGED)
            await self._window.leave(batch.routed.size)
            self._metrics.acknowledged.labels(name).inc(batch.entries)
            self._metrics.rejected.inc(len(batch.routed.dead))

    async def _settled(self, batch: HandedOver) -> None:
        dead = batch.routed.dead
        if dead:
            await self._trying("bury", lambda: self._outbound.bury(dead))
            self._reached(Step.REJECTS_BURIED)
        await asyncio.gather(*batch.done)

    async def _trying(self, step: str, call: Callable[[], Awaitable[T]]) -> T:
        return await retrying(call, self._clock, self._metrics.retries.labels(step).inc)


@dataclass(frozen=True, slots=True)
class Settled:
    """A group that is committed, and what is still to be published of it."""

    group: Group
    proposal: _native.Proposal
    committed: Committed
    letters: list[DeadLetter]


class ShardFlow:
    """The events of a range of slots: evaluate, commit, publish. A `Shard`."""

    def __init__(
        self,
        *,
        evaluator: Evaluator,
        store: ShardStore,
        publisher: Publisher,
        control: ControlStream,
        lease: SlotLease,
        clock: Clock,
        metrics: ShardMetrics,
        group_bytes: int,
        reconcile: float,
        reached: Reached = pass_by,
    ) -> None:
        """`reconcile`: seconds after which the configuration is asked for all the same."""
        self._evaluator = evaluator
        self._store = store
        self._publisher = publisher
        self._control = control
        self._lease = lease
        self._clock = clock
        self._metrics = metrics
        self._reconcile = reconcile
        self._reached = reached
        self._sequencer = Sequencer()
        self._inbox = Inbox(group_bytes)
        self._settled: asyncio.Queue[Settled] = asyncio.Queue(GROUPS_PUBLISHING)
        self._memory = asyncio.Lock()

    async def process(self, parts: Sequence[Part]) -> None:
        """See `Shard.process`. Parts taken stay taken if the caller goes away."""
        futures = []
        for part in parts:
            await self._sequencer.turn(part)
            future, is_next = self._sequencer.admit(part)
            if is_next:
                self._inbox.put(part, future)
            futures.append(future)
        self._reached(Step.ADMITTED)
        await asyncio.wait(futures)

    @property
    def trouble(self) -> str | None:
        """Why events are not processed, a short phrase without addresses; None where they are.
        Tells in the shard's heartbeat, which is not ready then."""
        return None

    async def run(self) -> None:
        """Until cancelled. Raises LeaseLost, in an ExceptionGroup."""
        async with asyncio.TaskGroup() as steps:
            steps.create_task(self._evaluate_and_commit())
            steps.create_task(self._publish())
            steps.create_task(self._publisher.run())
            steps.create_task(self._follow_configuration())

    async def _evaluate_and_commit(self) -> None:
        while True:
            group = await self._inbox.next()
            async with self._memory:
                settled = await self._settle(group)
            await self._settled.put(settled)

    async def _settle(self, group: Group) -> Settled:
        buffers = group.buffers
        for pause in pauses():
            with self._metrics.step_seconds.labels("evaluate").time():
                proposal = self._evaluator.evaluate(buffers, self._clock.now_us())
            self._reached(Step.EVALUATED)
            try:
                with self._metrics.step_seconds.labels("commit").time():
                    now = self._clock.now_us()
                    committed = await commit(self._store, self._lease, proposal, now)
            except RetryableError:
                self._metrics.retries.labels("commit").inc()
                await self._clock.sleep(pause)
                await self._reload(buffers)
                continue
            self._reached(Step.LEASE_CHECKED if proposal.changes_nothing else Step.COMMITTED)
            self._publisher.expect(committed.outbox)
            self._evaluator.apply(proposal, committed)
            self._reached(Step.APPLIED)
            if committed.out_of_step:
                # What was committed stands; the group is judged again by what is true.
                self._metrics.retries.labels("out of step").inc()
                await self._publisher.publish(committed.outbox)
                await self._clock.sleep(pause)
                await self._reload(buffers)
                continue
            letters = group.dead_letters(proposal, committed.conflicts)
            return Settled(group, proposal, committed, letters)
        raise AssertionError("pauses never end")

    async def _reload(self, buffers: Sequence[bytes]) -> None:
        await retrying(
            lambda: self._evaluator.reload(self._lease, buffers),
            self._clock,
            self._metrics.retries.labels("reload").inc,
        )
        self._reached(Step.RELOADED)

    async def _publish(self) -> None:
        while True:
            settled = await self._settled.get()
            with self._metrics.step_seconds.labels("publish").time():
                await self._publisher.publish(settled.committed.outbox, settled.letters)
            settled.group.done()
            self._reached(Step.DONE)
            effective = settled.committed.effective
            self._metrics.count(settled.proposal, effective, self._clock.now_us())

    async def _follow_configuration(self) -> None:
        """Take what changes in the configuration, between groups, and say so (E1, E10).

        The control stream says when; what was lost on it is found by asking now and then."""
        while True:
            try:
                await self._control.wait(self._reconcile)
            except ServiceUnavailable:
                self._metrics.retries.labels("control").inc()
                await self._clock.sleep(CONTROL_RETRY_SECONDS)
            changed = await retrying(
                lambda: self._store.configuration(self._evaluator.config_version),
                self._clock,
                self._metrics.retries.labels("configuration").inc,
            )
            if changed.version > self._evaluator.config_version:
                async with self._memory:
                    self._evaluator.configure(changed)
                self._reached(Step.CONFIGURED)
                await retrying(
                    lambda: self._store.renew(self._lease, self._evaluator.config_version),
                    self._clock,
                    self._metrics.retries.labels("renew").inc,
                )
