"""A publisher over the in-memory adapters, on an event loop with virtual time."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry
from tests.support.pipeline.changes import NOON, Effect, change
from tests.support.pipeline.in_memory_pipeline import FaultyOutbound
from tests.support.pipeline.virtual_time import LoopClock, VirtualTimeLoop

from goald.adapters.memory.database import MemoryDatabase
from goald.adapters.memory.store import MemoryShardStore
from goald.adapters.memory.streams import MemoryStreams
from goald.domain.leases import SlotLease
from goald.domain.slots import SlotRange
from goald.metrics.pipeline import ShardMetrics
from goald.pipeline.context import PipelineContext
from goald.pipeline.outbox.publish import OutboxPublisher
from goald.ports.outbound import Message, PublishedWatermark
from goald.ports.outbox import StoredMessage
from goald.redis_keys import EXITS

ALL = SlotRange(0, 255)


def exit_of(enrollment: str) -> str:
    return json.dumps({"id": f"exit-{enrollment}", "data": {}})


class InterceptedOutbound(FaultyOutbound):
    """Yields to other tasks, and first runs the callbacks in `meanwhile`, once each."""

    def __init__(self, streams: MemoryStreams) -> None:
        super().__init__(streams)
        self.meanwhile: list[Callable[[], None]] = []

    async def publish(
        self, messages: Sequence[Message], position: PublishedWatermark | None = None
    ) -> int:
        if self.meanwhile:
            self.meanwhile.pop()()
        await asyncio.sleep(0.001)
        return await super().publish(messages, position)


class OutboxHarness:
    """A store and streams, and successive publishers over them."""

    def __init__(self) -> None:
        self.clock = LoopClock(asyncio.get_running_loop(), NOON)
        self.streams = MemoryStreams(self.clock)
        self.outbound = InterceptedOutbound(self.streams)
        self.database = MemoryDatabase()
        self.store = MemoryShardStore(self.database, self.clock)
        self.metrics = ShardMetrics(CollectorRegistry())
        self.context = PipelineContext.create(self.clock, self.metrics)
        self.lease: SlotLease

    async def publisher(
        self, keep: float = 600, exit_retry: float | None = None
    ) -> OutboxPublisher:
        """Return the publisher of a new holder of the slots, started as a shard starts it."""
        self.lease = await self.store.acquire(ALL, "a")
        publisher = OutboxPublisher(
            self.context, self.store.outbox, self.outbound, self.lease,
            keep_seconds=keep, exit_retry=exit_retry,
        )  # fmt: skip
        await publisher.recognise()
        await publisher.publish_backlog()
        return publisher

    @asynccontextmanager
    async def running(
        self, keep: float = 600, exit_retry: float | None = None
    ) -> AsyncIterator[OutboxPublisher]:
        """Run a new publisher until the end of the `with` block, then kill it."""
        publisher = await self.publisher(keep, exit_retry)
        running = asyncio.ensure_future(publisher.run())
        try:
            await asyncio.sleep(1.5)
            yield publisher
        finally:
            running.cancel()
            await asyncio.wait({running})

    async def commit(self, *enrollments: str) -> list[StoredMessage]:
        effects = [
            Effect(name, status="completed_goal", ended_at=NOON, messages=[exit_of(name)])
            for name in enrollments
        ]
        return list((await self.store.commit(self.lease, change(*effects))).outbox)

    async def exit(self, publisher: OutboxPublisher, *enrollments: str) -> None:
        """Commit the exits of these enrollments and publish them, as a shard does."""
        rows = await self.commit(*enrollments)
        publisher.expect(rows)
        await publisher.publish(rows)

    async def acknowledge(self, enrollment: str) -> None:
        await self.store.commit(
            self.lease, change(acknowledgements=[("acme", enrollment, "ann", "w-1", 3, 0, NOON)])
        )

    @property
    def exits(self) -> list[str]:
        """The enrollments of the published exits, in order, repeats included."""
        entries = self.streams.entries(EXITS)
        return [json.loads(fields[1])["id"].removeprefix("exit-") for _, fields in entries]

    @property
    def republished(self) -> float:
        return float(self.metrics.republished._value.get())

    @property
    def retried(self) -> float:
        return float(self.metrics.exits_retried._value.get())


def on_virtual_time(
    test: Callable[[OutboxHarness], Coroutine[None, None, None]],
) -> Callable[[], None]:
    """Run the test with a new harness, on virtual time."""

    async def with_harness() -> None:
        await test(OutboxHarness())

    def run() -> None:
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            runner.run(with_harness())

    run.__doc__ = test.__doc__
    return run
