"""A shard as a plain object: takes its slots, loads them, and runs the flow."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry

from goald.domain.errors import ServiceUnavailable
from goald.domain.fail_points import FailPoint, FailPointHook, no_op
from goald.domain.leases import SlotLease
from goald.domain.slots import SlotRange
from goald.metrics import ShardMetrics
from goald.pipeline.flow import ShardFlow
from goald.pipeline.lease_renewal import hold
from goald.pipeline.outbox.publish import OutboxPublisher
from goald.pipeline.shard.evaluate import Evaluator
from goald.pipeline.shard_batch import ShardBatch
from goald.ports.clock import Clock
from goald.ports.control_stream import ControlStream
from goald.ports.outbound import Outbound
from goald.ports.process_registry import ProcessRegistry
from goald.ports.shard_store import ShardStore
from goald.runtime.connections import close_all
from goald.runtime.heartbeat.reporter import HeartbeatReporter
from goald.runtime.leadership.takeover import ProcessTakeover, this_process
from goald.runtime.processes.startup import StartupSequence

RECONCILE_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardSettings:
    """What one shard is given."""

    index: int
    slots: SlotRange
    clock_skew: float
    republish: float
    group_bytes: int
    early_events: float = 0.0
    """Seconds that an event waits for an enrollment that comes after it (E7)."""
    exit_retry: float | None = None
    """Seconds after which an exit that nobody has acknowledged is published again."""
    instance: int = 0
    """The epoch under which the instance acts that it belongs to; 0 for one on its own."""
    reconcile: float = RECONCILE_SECONDS
    """Seconds between two looks for changed configuration that nobody has told of."""


class ShardProcess:
    """The slots of one range, from the taking of the lease to its release. A `Shard`."""

    def __init__(
        self,
        settings: ShardSettings,
        *,
        store: ShardStore,
        outbound: Outbound,
        control: ControlStream,
        processes: ProcessRegistry,
        clock: Clock,
        evaluator: Evaluator | None = None,
        fail_point: FailPointHook = no_op,
    ) -> None:
        """`evaluator`: another than the one over the Rust core, for comparisons."""
        self._settings = settings
        self._store = store
        self._outbound = outbound
        self._control = control
        self._clock = clock
        self._fail_point = fail_point
        registry = CollectorRegistry()
        self._metrics = ShardMetrics(registry)
        self._evaluator = evaluator or Evaluator(
            store, clock_skew_us=round(settings.clock_skew * 1e6)
        )
        self._beating = HeartbeatReporter(
            "shard",
            settings.index,
            processes=processes,
            clock=clock,
            registry=registry,
            describe=self._describe,
        )
        self._claim = ProcessTakeover(
            this_process(settings.instance, f"shard-{settings.index}"), clock
        )
        self._start = StartupSequence(clock, self._metrics.retries.labels("start").inc)
        self._flow: ShardFlow | None = None
        self._publisher: OutboxPublisher | None = None
        self._lease: SlotLease | None = None
        self._stop = asyncio.Event()

    @property
    def ready(self) -> bool:
        """Whether events can be processed, and are."""
        return self.not_ready_reason is None

    @property
    def not_ready_reason(self) -> str | None:
        """Why events are not processed, a short phrase; None where they are."""
        return self._start.not_ready_reason if self._flow is None else self._flow.not_ready_reason

    async def process(self, parts: Sequence[ShardBatch]) -> None:
        """See `Shard.process`. Raises ServiceUnavailable while the state is being loaded."""
        if self._flow is None:
            raise ServiceUnavailable(f"shard {self._settings.index} is not loaded yet")
        await self._flow.process(parts)

    async def run(self) -> None:
        """Until `stop`. Raises LeaseLost, in an ExceptionGroup, if another took the slots."""
        try:
            async with asyncio.TaskGroup() as tasks:
                beating = tasks.create_task(self._beating.run())
                self._lease = await self._start.step("its slots", self._take)
                self._fail_point(FailPoint.SLOT_LEASE_ACQUIRED)
                holding = tasks.create_task(hold(self._renew, self._clock))
                await self._start.step("what is enrolled", self._load)
                self._fail_point(FailPoint.LOADED)
                publisher = self._make_publisher(self._lease)
                await self._start.step("what was published", publisher.recognise)
                await self._start.step("what is to be published", publisher.relay)
                self._fail_point(FailPoint.BACKLOG_PUBLISHED)
                await self._start.step("what is configured", self._catch_up)
                self._flow = self._make_flow(self._lease, publisher)
                self._publisher = publisher
                flowing = tasks.create_task(self._flow.run())
                await self._beating.send()
                await self._stop.wait()
                for task in (beating, holding, flowing):
                    task.cancel()
            await self._give_back()
        finally:
            await close_all(self._outbound, self._control, self._beating, self._store)

    def stop(self) -> None:
        """Make `run` return. For when no consumer hands anything over any more."""
        self._stop.set()

    async def _take(self) -> SlotLease:
        return await self._store.acquire(self._settings.slots, str(self._claim.holder), self._claim)

    async def _load(self) -> None:
        await self._evaluator.load(self._held())

    async def _catch_up(self) -> None:
        """Take what was configured during the load, and say so. Since the lease was renewed
        all along, whoever changes it later counts on this shard and waits for it (E10)."""
        version = self._evaluator.config_version
        self._evaluator.configure(await self._store.configuration(after=version))
        await self._renew()

    async def _renew(self) -> None:
        await self._store.renew(self._held(), self._evaluator.config_version)

    def _held(self) -> SlotLease:
        if self._lease is None:
            raise RuntimeError("the slots are not taken yet")
        return self._lease

    def _make_publisher(self, lease: SlotLease) -> OutboxPublisher:
        return OutboxPublisher(
            self._store.outbox,
            self._outbound,
            lease,
            self._clock,
            self._metrics,
            keep_seconds=self._settings.republish,
            exit_retry=self._settings.exit_retry,
            fail_point=self._fail_point,
        )

    def _make_flow(self, lease: SlotLease, publisher: OutboxPublisher) -> ShardFlow:
        return ShardFlow(
            evaluator=self._evaluator,
            store=self._store,
            publisher=publisher,
            control=self._control,
            lease=lease,
            clock=self._clock,
            metrics=self._metrics,
            group_bytes=self._settings.group_bytes,
            reconcile=self._settings.reconcile,
            early_events=self._settings.early_events,
            fail_point=self._fail_point,
        )

    async def _give_back(self) -> None:
        try:
            if self._publisher is not None:
                await self._publisher.mark()
            await self._store.release(self._held())
        except ServiceUnavailable:
            pass
        await self._beating.remove()

    def _describe(self) -> dict[str, Any] | None:
        if self._claim.outranked:
            return None  # its name on the board is another's now
        stats = self._evaluator.stats()
        self._metrics.enrollments.set(stats["enrollments"])
        self._metrics.listeners.set(stats["listeners"])
        self._metrics.held_bytes.set(stats["bytes"])
        self._metrics.config_version.set(self._evaluator.config_version)
        if self._lease is not None:
            self._metrics.epoch.set(self._lease.epoch)
        return {"ready": self.ready, "not_ready_reason": self.not_ready_reason}
