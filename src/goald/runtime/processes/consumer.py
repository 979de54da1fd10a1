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
from goald.metrics import ConsumerMetrics
from goald.pipeline.flow import StreamFlow
from goald.pipeline.ingest.dispatch import ShardDispatcher
from goald.pipeline.ingest.read import StreamReader
from goald.pipeline.ingest.route import Router
from goald.pipeline.ingest.window import InFlightWindow
from goald.pipeline.lease_renewal import hold
from goald.pipeline.poison.breaker import CircuitBreaker
from goald.pipeline.shard_batch import Shard
from goald.pipeline.stall_detector import STALL_SECONDS
from goald.ports.clock import Clock
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
    """What one consumer is given."""

    index: int
    streams: tuple[str, ...]
    ranges: tuple[SlotRange, ...]
    read: ReadSettings
    dispatch: DispatchSettings
    early_events: float = 0.0
    """Seconds that what was read stays unacknowledged after it is done: so long an event waits at
    a shard for its enrollment, and is sent again if the shard dies (E7)."""
    instance: int = 0
    """As of `ShardSettings`."""


class ConsumerProcess:
    """Some streams, from the taking of their leases to the last acknowledgement."""

    def __init__(
        self,
        settings: ConsumerSettings,
        shards: Sequence[Shard],
        *,
        open_stream: Callable[[str], EventStream],
        leases: StreamLeases,
        outbound: Outbound,
        processes: ProcessRegistry,
        clock: Clock,
        fail_point: FailPointHook = no_op,
    ) -> None:
        """`shards`: one for each of `settings.ranges`, in the same order."""
        self._settings = settings
        self._open_stream = open_stream
        self._leases = leases
        self._outbound = outbound
        self._clock = clock
        self._fail_point = fail_point
        registry = CollectorRegistry()
        self._metrics = ConsumerMetrics(registry)
        self._breaker = CircuitBreaker(self._metrics.breaker_open)
        self._lanes = [
            ShardDispatcher(
                shard,
                settings.dispatch,
                clock,
                self._metrics,
                outbound,
                self._breaker,
                hold=settings.early_events,
                fail_point=fail_point,
            )
            for shard in shards
        ]
        self._beating = HeartbeatReporter(
            "consumer",
            settings.index,
            processes=processes,
            clock=clock,
            registry=registry,
            describe=self._describe,
        )
        self._claim = ProcessTakeover(
            this_process(settings.instance, f"consumer-{settings.index}"), clock
        )
        self._starts: dict[str, StartupSequence] = {}
        self._flows: list[StreamFlow] = []
        self._stopping = False

    @property
    def ready(self) -> bool:
        """Whether every stream is being read, and what is read processed."""
        return self.not_ready_reason is None

    @property
    def not_ready_reason(self) -> str | None:
        """Why that is not so of some stream, a short phrase; None where it is of all."""
        if len(self._flows) < len(self._settings.streams):
            starts = (start.not_ready_reason for start in self._starts.values())
            return next(
                (not_ready_reason for not_ready_reason in starts if not_ready_reason),
                "it has just begun",
            )
        return next((flow.not_ready_reason for flow in self._flows if flow.not_ready_reason), None)

    async def run(self) -> None:
        """Until `stop`, and then until all that was read is acknowledged (D7). Raises
        LeaseLost, in an ExceptionGroup, if another took a stream."""
        try:
            async with asyncio.TaskGroup() as serving:
                helpers = [
                    serving.create_task(self._beating.run()),
                    *(serving.create_task(lane.run()) for lane in self._lanes),
                ]
                async with asyncio.TaskGroup() as reading:
                    for name in self._settings.streams:
                        reading.create_task(self._read(name))
                for task in helpers:
                    task.cancel()
            await self._beating.remove()
        finally:
            await close_all(self._outbound, self._beating, self._leases)

    def stop(self) -> None:
        """Read no more, and make `run` return once what is under way is done."""
        self._stopping = True
        for flow in self._flows:
            flow.stop()

    async def _read(self, name: str) -> None:
        stream = self._open_stream(name)
        try:
            await self._follow(stream, await self._taken(stream))
        finally:
            await stream.close()

    async def _taken(self, stream: EventStream) -> StreamLease:
        start = StartupSequence(self._clock, self._metrics.retries.labels("start").inc)
        self._starts[stream.name] = start
        lease = await start.step(stream.name, lambda: self._take(stream))
        del self._starts[stream.name]
        self._fail_point(FailPoint.STREAM_LEASE_ACQUIRED)
        return lease

    async def _follow(self, stream: EventStream, lease: StreamLease) -> None:
        reader = StreamReader(stream, self._settings.read)
        flow = StreamFlow(
            stream=stream,
            lease=lease,
            reader=reader,
            route=Router(
                stream.name, self._settings.ranges, max_buffer=self._settings.dispatch.bytes
            ),
            lanes=self._lanes,
            window=InFlightWindow(
                self._settings.read.in_flight_bytes, self._metrics.in_flight_bytes
            ),
            outbound=self._outbound,
            breaker=self._breaker,
            clock=self._clock,
            metrics=self._metrics,
            pause=self._settings.read.pause,
            patience=STALL_SECONDS + self._settings.early_events,
            hold=self._settings.early_events,
            fail_point=self._fail_point,
        )
        if self._stopping:
            flow.stop()
        self._flows.append(flow)
        async with asyncio.TaskGroup() as tasks:
            holding = tasks.create_task(hold(lambda: self._leases.renew(lease), self._clock))
            telling = tasks.create_task(self._tell(flow))
            await flow.run()
            for helper in (holding, telling):
                helper.cancel()
        with contextlib.suppress(ServiceUnavailable):
            await self._leases.release(lease)

    async def _tell(self, flow: StreamFlow) -> None:
        """Say at once that all streams are read, once they are."""
        await flow.begun()
        if self.ready:
            await self._beating.send()

    def _describe(self) -> dict[str, Any] | None:
        if self._claim.outranked:
            return None  # its name on the board is another's now
        return {"ready": self.ready, "not_ready_reason": self.not_ready_reason}

    async def _take(self, stream: EventStream) -> StreamLease:
        # A Postgres that was put back to an older copy would give an epoch that Redis knows to
        # be past (D10). Who is still alive under a later one has a row, or is nobody's any more.
        above = await stream.epoch()
        return await self._leases.acquire(stream.name, str(self._claim.holder), self._claim, above)
