"""A consumer as a plain object: takes its streams and runs a flow for each."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry

from goald.domain.errors import ServiceUnavailable
from goald.domain.fail_points import FailPoint, FailPointHook, no_op
from goald.domain.leases import StreamLease
from goald.domain.slots import SlotRange
from goald.metrics.pipeline import ConsumerMetrics
from goald.pipeline.context import ConsumerContext, PipelineContext
from goald.pipeline.early_events import HeldInFlight, HeldOutstanding
from goald.pipeline.flow import StreamFlow
from goald.pipeline.ingest.dispatch import ShardDispatcher
from goald.pipeline.ingest.forward import Forwarder, StreamRoute
from goald.pipeline.ingest.in_flight import InFlight
from goald.pipeline.ingest.outstanding import Outstanding
from goald.pipeline.ingest.read import StreamReader
from goald.pipeline.ingest.redelivery import Redelivery
from goald.pipeline.ingest.route import Router
from goald.pipeline.ingest.session import StreamSession
from goald.pipeline.ingest.window import InFlightWindow
from goald.pipeline.lease_renewal import LeaseRenewer
from goald.pipeline.poison.breaker import CircuitBreaker
from goald.pipeline.poison.dead_letters import DeadLetters
from goald.pipeline.shard_batch import Shard
from goald.ports.clock import Clock
from goald.ports.event_history import EventHistory
from goald.ports.event_stream import EventStream
from goald.ports.outbound import Outbound
from goald.ports.process_registry import ProcessRegistry
from goald.ports.stream_leases import StreamLeases
from goald.runtime.connections import close_all
from goald.runtime.heartbeat.reporter import HeartbeatReporter
from goald.runtime.leadership.takeover import ProcessTakeover, this_process
from goald.runtime.processes.startup import StartupSequence
from goald.settings import DispatchSettings, ReadSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerSettings:
    """The settings of one consumer."""

    index: int
    streams: tuple[str, ...]
    ranges: tuple[SlotRange, ...]
    """The slots of each shard, in the order of the shards."""
    read: ReadSettings
    dispatch: DispatchSettings
    early_events: float = 0.0
    """Seconds that a processed event stays unacknowledged. A shard keeps an early event in memory
    for this time, and the event must be sent again if the shard dies (E7)."""
    instance: int = 0
    """The epoch of the leader lease of this consumer's instance; 0 without leader election."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerPorts:
    """The servers and the clock of one consumer. The consumer closes them."""

    open_stream: Callable[[str], EventStream]
    leases: StreamLeases
    outbound: Outbound
    history: EventHistory
    processes: ProcessRegistry
    clock: Clock


class ConsumerProcess:
    """Some streams, from acquiring their leases to the last acknowledgement."""

    def __init__(
        self,
        settings: ConsumerSettings,
        shards: Sequence[Shard],
        ports: ConsumerPorts,
        *,
        fail_point: FailPointHook = no_op,
    ) -> None:
        """`shards`: one for each of `settings.ranges`, in the same order."""
        self._settings = settings
        self._open_stream = ports.open_stream
        self._leases = ports.leases
        self._outbound = ports.outbound
        self._history = ports.history
        self._clock = ports.clock
        self._fail_point = fail_point
        registry = CollectorRegistry()
        self._metrics = ConsumerMetrics(registry)
        self._breaker = CircuitBreaker(self._metrics.breaker_open)
        context = self._context()
        self._dispatchers = [
            ShardDispatcher(
                number,
                shard,
                settings.dispatch,
                context,
                DeadLetters(context, ports.outbound, self._breaker),
                self._outstanding(),
            )
            for number, shard in enumerate(shards)
        ]
        self._heartbeat = HeartbeatReporter(
            "consumer",
            settings.index,
            processes=ports.processes,
            clock=ports.clock,
            registry=registry,
            describe=self._describe,
        )
        self._takeover = ProcessTakeover(
            this_process(settings.instance, f"consumer-{settings.index}"), ports.clock
        )
        self._startups: dict[str, StartupSequence] = {}
        self._flows: list[StreamFlow] = []
        self._dispatched: dict[str, bytes] = {}
        self._stopping = False

    @property
    def ready(self) -> bool:
        """Whether every stream is read and its events are processed."""
        return self.not_ready_reason is None

    @property
    def not_ready_reason(self) -> str | None:
        """Why one of the streams is not read or processed, a short phrase; None if all are."""
        if len(self._flows) < len(self._settings.streams):
            startups = iter(self._startups.values())
            return next((each.not_ready_reason for each in startups), "starting")
        return next((flow.not_ready_reason for flow in self._flows if flow.not_ready_reason), None)

    async def run(self) -> None:
        """Run until `stop`, and then until everything read is acknowledged (D7). Raises
        LeaseLost, in an ExceptionGroup, if another process took a stream."""
        try:
            async with asyncio.TaskGroup() as serving:
                background = [
                    serving.create_task(self._heartbeat.run()),
                    *(serving.create_task(each.run()) for each in self._dispatchers),
                    *(serving.create_task(each.marks.run()) for each in self._dispatchers),
                ]
                async with asyncio.TaskGroup() as reading:
                    for name in self._settings.streams:
                        reading.create_task(self._read(name))
                for task in background:
                    task.cancel()
            await self._heartbeat.remove()
        finally:
            await close_all(self._outbound, self._history, self._heartbeat, self._leases)

    def stop(self) -> None:
        """Stop reading, and make `run` return when everything in flight is finished."""
        self._stopping = True
        for flow in self._flows:
            flow.stop()

    async def _read(self, name: str) -> None:
        stream = self._open_stream(name)
        try:
            await self._run_flow(stream, await self._acquire_with_retries(stream))
        finally:
            await stream.close()

    async def _acquire_with_retries(self, stream: EventStream) -> StreamLease:
        startup = StartupSequence(self._clock, self._metrics.retries.labels("start").inc)
        self._startups[stream.name] = startup
        lease = await startup.run(
            f"acquiring the lease of {stream.name}", lambda: self._acquire(stream)
        )
        del self._startups[stream.name]
        self._fail_point(FailPoint.STREAM_LEASE_ACQUIRED)
        return lease

    async def _run_flow(self, stream: EventStream, lease: StreamLease) -> None:
        context = self._context()
        reader = StreamReader(stream, self._settings.read)
        session = StreamSession(context, stream, lease, reader)
        max_buffer = self._settings.dispatch.bytes
        flow = StreamFlow(
            context,
            session,
            Router(context, stream.name, self._settings.ranges, max_buffer=max_buffer),
            self._dispatchers,
            self._in_flight(),
            DeadLetters(context, self._outbound, self._breaker),
            Forwarder(
                context,
                StreamRoute(
                    stream.name,
                    lease.epoch,
                    self._settings.ranges,
                    self._dispatchers,
                    self._dispatched,
                ),
                Redelivery(context, self._history, self._settings.read.in_flight_bytes),
            ),
        )
        if self._stopping:
            flow.stop()
        self._flows.append(flow)
        async with asyncio.TaskGroup() as tasks:
            renewing = tasks.create_task(
                LeaseRenewer(lambda: self._leases.renew(lease), self._clock).run()
            )
            reporting = tasks.create_task(self._report_start(session))
            await flow.run()
            for task in (renewing, reporting):
                task.cancel()
        with contextlib.suppress(ServiceUnavailable):
            await self._leases.release(lease)

    def _context(self) -> ConsumerContext:
        return PipelineContext.create(self._clock, self._metrics, self._fail_point)

    def _in_flight(self) -> InFlight:
        """Of one stream. With early events, batches are acknowledged later (E7)."""
        window = InFlightWindow(self._settings.read.in_flight_bytes, self._metrics.in_flight_bytes)
        seconds = self._settings.early_events
        parts = window, self._clock, self._awaits_deferred
        return HeldInFlight(*parts, seconds) if seconds else InFlight(*parts)

    def _awaits_deferred(self) -> bool:
        return any(dispatcher.awaits_deferred for dispatcher in self._dispatchers)

    def _outstanding(self) -> Outstanding:
        """Of one shard. With early events, processed batches are kept (E7)."""
        seconds = self._settings.early_events
        return HeldOutstanding(self._clock, seconds) if seconds else Outstanding()

    async def _report_start(self, session: StreamSession) -> None:
        """Send a heartbeat as soon as all streams are read."""
        await session.claimed.wait()
        if self.ready:
            await self._heartbeat.send()

    def _describe(self) -> dict[str, Any] | None:
        if self._takeover.is_superseded:
            return None  # the same consumer of a later instance sends this heartbeat now
        return {"ready": self.ready, "not_ready_reason": self.not_ready_reason}

    async def _acquire(self, stream: EventStream) -> StreamLease:
        # A Postgres restored from a backup would give an epoch that Redis has already seen
        # surpassed (D10).
        above = await stream.epoch()
        return await self._leases.acquire(
            stream.name, str(self._takeover.holder), self._takeover, above
        )
