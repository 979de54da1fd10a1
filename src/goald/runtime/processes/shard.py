"""A shard as a plain object: takes its slots, loads them, and runs the flow."""

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry

from goald.domain.errors import ServiceUnavailable
from goald.domain.fail_points import FailPoint, FailPointHook, no_op
from goald.domain.leases import SlotLease
from goald.domain.slots import SlotRange
from goald.metrics.pipeline import ShardMetrics
from goald.pipeline.context import PipelineContext, ShardContext
from goald.pipeline.early_events import EarlyEvents
from goald.pipeline.executions.gates import SlotGates
from goald.pipeline.executions.rules import ExecutionRules
from goald.pipeline.executions.shard import ShardExecutions
from goald.pipeline.executions.watermark import Watermark
from goald.pipeline.flow import ShardFlow, ShardWatchers
from goald.pipeline.lease_renewal import LeaseRenewer
from goald.pipeline.outbox.publish import OutboxPublisher
from goald.pipeline.poison.breaker import CircuitBreaker
from goald.pipeline.shard.admission import Admission
from goald.pipeline.shard.committer import GroupCommitter
from goald.pipeline.shard.config_watcher import ConfigurationFollowers, ConfigWatcher
from goald.pipeline.shard.ended_loader import EndedLoader
from goald.pipeline.shard.evaluate import Evaluator
from goald.pipeline.shard.group import SHARE, Group
from goald.pipeline.shard.missed.events import MissedEvents
from goald.pipeline.shard.missed.pages import MissedPages
from goald.pipeline.shard.progress import GroupProgress
from goald.pipeline.shard.throttle import ThrottleReporter
from goald.pipeline.shard.transfers import Transfers, adopt_all
from goald.pipeline.shard.turns import DEFERRED_BYTES, Turns
from goald.pipeline.shard_batch import Processed, ShardBatch, StreamMark
from goald.ports.actions.gates import Gates
from goald.ports.actions.permits import Permits
from goald.ports.clock import Clock
from goald.ports.control.stream import ControlStream
from goald.ports.control.throttle import TenantThrottle
from goald.ports.outbound import Outbound
from goald.ports.process_registry import ProcessRegistry
from goald.ports.shard_store import MISSED_BYTES, ShardStore
from goald.redis_keys import event_stream
from goald.runtime.connections import close_all
from goald.runtime.heartbeat.reporter import HeartbeatReporter
from goald.runtime.leadership.takeover import ProcessTakeover, this_process
from goald.runtime.processes.startup import StartupSequence

RECONCILE_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardSettings:
    """The settings of one shard."""

    index: int
    slots: SlotRange
    clock_skew: float
    """Seconds (GOALD_CLOCK_SKEW)."""
    republish: float
    """Seconds that published messages are kept for republishing (D10)."""
    group_bytes: int
    """Size limit of the events of one commit."""
    early_events: float = 0.0
    """Seconds that an event waits for an enrollment that arrives after it (E7); 0 is off."""
    max_enrollments_per_contact: int = 10_000
    """Active enrollments of one contact, beyond which an enrollment is dead-lettered (E5)."""
    late: float = 0.0
    """Seconds for which goals without a window watch an enrollment after its end (E18); 0 is
    off."""
    share: int = SHARE
    """Units of work of one tenant in one group (D8)."""
    max_deferred_bytes: int = 1 << 20
    """Deferred events of one tenant, beyond which the API refuses more of them (D8)."""
    deferred_bytes: int = DEFERRED_BYTES
    """Size limit of the deferred events of one group."""
    exit_retry: float | None = None
    """Seconds after which an unacknowledged exit is published again; None is off."""
    executions: ExecutionRules = field(default_factory=ExecutionRules)
    """The settings of executions."""
    streams: tuple[str, ...] = ()
    """The event streams, whose marks the timers of executions wait for (X6)."""
    publishes_refunds: bool = False
    """Whether refunds are published as notices (GOALD_REFUND_REOPENS)."""
    missed_bytes: int = MISSED_BYTES
    """Bytes of the events that the paused workflows of a tenant missed, beyond which no further
    ones are kept (E19)."""
    instance: int = 0
    """The epoch of the leader lease of this shard's instance; 0 without leader election."""
    reconcile: float = RECONCILE_SECONDS
    """Seconds between two checks for configuration changes that were not announced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionPorts:
    """The gates and permits of a shard that runs workflows."""

    gates: Gates
    permits: Permits


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardPorts:
    """The servers and the clock of one shard. The shard closes them."""

    store: ShardStore
    outbound: Outbound
    control: ControlStream
    throttle: TenantThrottle
    processes: ProcessRegistry
    clock: Clock
    executions: ExecutionPorts | None = None
    """None: the shard runs no workflows."""


class ShardProcess:
    """One range of slots, from taking the lease to releasing it. A `Shard`."""

    def __init__(
        self,
        settings: ShardSettings,
        ports: ShardPorts,
        *,
        evaluator: Evaluator | None = None,
        fail_point: FailPointHook = no_op,
    ) -> None:
        """`evaluator`: another one than the native evaluator, for comparisons."""
        self._settings = settings
        self._store = ports.store
        self._outbound = ports.outbound
        self._control = ports.control
        self._throttle = ports.throttle
        self._execution_ports = ports.executions
        self._executions: ShardExecutions | None = None
        self._clock = ports.clock
        self._fail_point = fail_point
        registry = CollectorRegistry()
        self._metrics = ShardMetrics(registry)
        self._context: ShardContext = PipelineContext.create(ports.clock, self._metrics, fail_point)
        self._evaluator = evaluator or Evaluator(
            ports.store,
            clock_skew_us=round(settings.clock_skew * 1e6),
            max_enrollments_per_contact=settings.max_enrollments_per_contact,
            late_us=round(settings.late * 1e6),
            executions=None if ports.executions is None else settings.executions,
        )
        self._heartbeat = HeartbeatReporter(
            "shard",
            settings.index,
            processes=ports.processes,
            clock=ports.clock,
            registry=registry,
            describe=self._describe,
        )
        self._takeover = ProcessTakeover(
            this_process(settings.instance, f"shard-{settings.index}"), ports.clock
        )
        self._startup = StartupSequence(ports.clock, self._metrics.retries.labels("start").inc)
        self._flow: ShardFlow | None = None
        self._publisher: OutboxPublisher | None = None
        self._lease: SlotLease | None = None
        self._stop = asyncio.Event()

    @property
    def ready(self) -> bool:
        """Whether events are processed."""
        return self.not_ready_reason is None

    @property
    def not_ready_reason(self) -> str | None:
        """Why events are not processed, a short phrase; None if they are."""
        return self._startup.not_ready_reason if self._flow is None else self._flow.not_ready_reason

    async def process(self, batches: Sequence[ShardBatch]) -> Processed:
        """See `Shard.process`. Raises ServiceUnavailable until the enrollments are loaded."""
        return await self._started_flow().process(batches)

    async def mark(self, marks: Sequence[StreamMark]) -> bool:
        """See `Shard.mark`. Raises ServiceUnavailable until the enrollments are loaded."""
        return self._started_flow().mark(marks)

    def _started_flow(self) -> ShardFlow:
        if self._flow is None:
            raise ServiceUnavailable(
                f"shard {self._settings.index} is not ready: {self._startup.not_ready_reason}"
            )
        return self._flow

    async def run(self) -> None:
        """Run until `stop`. Raises LeaseLost, in an ExceptionGroup, if another process took the
        slots."""
        try:
            async with asyncio.TaskGroup() as tasks:
                reporting = tasks.create_task(self._heartbeat.run())
                self._lease = await self._startup.run("acquiring the slot lease", self._acquire)
                self._fail_point(FailPoint.SLOT_LEASE_ACQUIRED)
                renewing = tasks.create_task(LeaseRenewer(self._renew, self._clock).run())
                await self._startup.run("loading enrollments", self._load)
                self._fail_point(FailPoint.LOADED)
                publisher = self._make_publisher(self._lease)
                await self._startup.run("checking published messages", publisher.recognise)
                await self._startup.run("publishing the outbox", publisher.publish_backlog)
                self._fail_point(FailPoint.BACKLOG_PUBLISHED)
                await self._startup.run("loading the configuration", self._load_configuration)
                self._executions = self._make_executions(self._lease)
                admission = self._make_admission(self._executions)
                if self._executions is not None:
                    await self._startup.run("comparing jobs", self._executions.start)
                self._flow = self._make_flow(self._lease, publisher, admission)
                self._publisher = publisher
                processing = tasks.create_task(self._flow.run())
                reporter = self._make_throttle_reporter(admission.turns)
                throttling = tasks.create_task(reporter.run())
                await self._heartbeat.send()
                await self._stop.wait()
                for task in (reporting, renewing, processing, throttling):
                    task.cancel()
            await self._release()
        finally:
            await close_all(
                self._outbound, self._control, self._throttle, self._heartbeat, self._store
            )
            if (ports := self._execution_ports) is not None:
                await close_all(ports.gates, ports.permits)

    def stop(self) -> None:
        """Make `run` return. Call it when no consumer dispatches to this shard any more."""
        self._stop.set()

    async def _acquire(self) -> SlotLease:
        return await self._store.acquire(
            self._settings.slots, str(self._takeover.holder), self._takeover
        )

    async def _load(self) -> None:
        lease = self._required_lease()
        await adopt_all(self._context, self._store, lease)
        await self._evaluator.load(lease)

    async def _load_configuration(self) -> None:
        """Load the changes made during the load, and publish the version with the lease. The
        lease was renewed all along, so a later change waits for this shard (E10)."""
        version = self._evaluator.config_version
        changed = await self._store.configuration(after=version)
        self._evaluator.configure(changed)
        await self._evaluator.configure_executions(self._required_lease(), changed)
        await self._renew()

    async def _renew(self) -> None:
        await self._store.renew(self._required_lease(), self._evaluator.config_version)

    def _required_lease(self) -> SlotLease:
        if self._lease is None:
            raise RuntimeError("the slot lease is not acquired yet")
        return self._lease

    def _make_publisher(self, lease: SlotLease) -> OutboxPublisher:
        return OutboxPublisher(
            self._context,
            self._store.outbox,
            self._outbound,
            lease,
            keep_seconds=self._settings.republish,
            exit_retry=self._settings.exit_retry,
        )

    def _make_admission(self, executions: ShardExecutions | None) -> Admission:
        breaker = CircuitBreaker(self._metrics.breaker_open)
        settings = self._settings
        turns = Turns(settings.group_bytes, settings.deferred_bytes, settings.share)
        watermark = None if executions is None else executions.watermark
        return Admission(self._context, breaker, turns, watermark)

    def _make_throttle_reporter(self, turns: Turns) -> ThrottleReporter:
        limit = self._settings.max_deferred_bytes
        return ThrottleReporter(self._context, self._throttle, turns, max_bytes=limit)

    def _make_flow(
        self, lease: SlotLease, publisher: OutboxPublisher, admission: Admission
    ) -> ShardFlow:
        context, settings, evaluator = self._context, self._settings, self._evaluator
        progress: Callable[[Group, Evaluator, CircuitBreaker, Turns], GroupProgress] = GroupProgress
        if settings.early_events > 0:
            progress = EarlyEvents(settings.early_events, self._clock).progress
        executions = self._executions
        committer = GroupCommitter(context, self._store, lease, evaluator, publisher, executions)
        pages = MissedPages(
            context, self._store, lease, evaluator, committer, publisher, event_stream(0)
        )
        missed = MissedEvents(context, evaluator, admission, pages, executions)
        return ShardFlow(
            context,
            admission,
            evaluator,
            committer,
            publisher,
            ShardWatchers(
                ConfigWatcher(
                    context,
                    self._control,
                    self._store,
                    lease,
                    evaluator,
                    ConfigurationFollowers(missed, executions),
                    reconcile=settings.reconcile,
                ),
                Transfers(context, self._store, lease, evaluator, missed, executions),
                missed,
                EndedLoader(context, self._store, lease, evaluator),
                executions,
            ),
            lambda group: progress(group, evaluator, admission.breaker, admission.turns),
        )

    def _make_executions(self, lease: SlotLease) -> ShardExecutions | None:
        ports, memory = self._execution_ports, self._evaluator.executions
        if ports is None or memory is None:
            return None
        context, settings = self._context, self._settings
        return ShardExecutions(
            context,
            self._store,
            lease,
            memory,
            SlotGates(context, ports.gates, ports.permits, lease, os.urandom),
            Watermark(context.clock, settings.streams),
        )

    async def _release(self) -> None:
        try:
            if self._publisher is not None:
                await self._publisher.mark()
            await self._store.release(self._required_lease())
        except ServiceUnavailable:
            pass
        await self._heartbeat.remove()

    def _describe(self) -> dict[str, Any] | None:
        if self._takeover.is_superseded:
            return None  # the same shard of a later instance sends this heartbeat now
        stats = self._evaluator.stats()
        self._metrics.enrollments.set(stats["enrollments"])
        self._metrics.listeners.set(stats["listeners"])
        self._metrics.matcher_bytes.set(stats["bytes"])
        self._metrics.count_ended(stats["ended_contacts"], stats["ended_contacts_dropped"])
        if self._executions is not None:
            self._executions.report.update()
        self._metrics.config_version.set(self._evaluator.config_version)
        if self._lease is not None:
            self._metrics.epoch.set(self._lease.epoch)
        return {"ready": self.ready, "not_ready_reason": self.not_ready_reason}
