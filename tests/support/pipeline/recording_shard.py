"""A consumer over a real Redis, and a shard that only records what it receives."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from tests.support.pipeline.in_memory_pipeline import (
    ALL,
    DEADLINE_SECONDS,
    STREAM,
    InMemoryProcessRegistry,
)

from goald import _native
from goald.adapters.clock import SystemClock
from goald.adapters.memory.database import MemoryDatabase
from goald.adapters.memory.stream_leases import MemoryStreamLeases
from goald.adapters.redis import RedisEventHistory, RedisEventStream, RedisOutbound
from goald.client import event
from goald.domain.errors import ServiceUnavailable
from goald.pipeline.shard.sequence import Sequencer
from goald.pipeline.shard_batch import Processed, ShardBatch, StreamMark
from goald.runtime.processes.consumer import ConsumerPorts, ConsumerProcess, ConsumerSettings
from goald.settings import DispatchSettings, ReadSettings


class GoalShard:
    """A shard that runs no workflows."""

    async def mark(self, marks: Sequence[StreamMark]) -> bool:
        return False


class RecordingShard(GoalShard):
    """A `Shard` that accepts every batch in order, and returns when `may_finish` is set."""

    def __init__(self) -> None:
        self.contacts: list[str] = []
        """The contacts of the events it received, in order, repeats included."""
        self.may_finish = asyncio.Event()
        self.may_finish.set()
        self.is_unavailable = False
        self.largest_call = 0
        self._sequencer = Sequencer()

    async def process(self, batches: Sequence[ShardBatch]) -> Processed:
        if self.is_unavailable:
            raise ServiceUnavailable("the shard is unavailable")
        self.largest_call = max(self.largest_call, sum(len(batch.buffer) for batch in batches))
        for batch in batches:
            await self._sequencer.turn(batch)
            future, is_next = self._sequencer.admit(batch)
            if is_next:
                for _, found in _native.buffer_entries(batch.buffer):
                    self.contacts.append(json.loads(found)["data"]["contact_id"])
                future.set_result(())
        await self.may_finish.wait()
        return Processed()


class ConsumerHarness:
    """A running consumer of one stream, and its shard."""

    def __init__(self, url: str, *, in_flight_bytes: int = 1 << 20) -> None:
        self.shard = RecordingShard()
        self.process_registry = InMemoryProcessRegistry()
        clock = SystemClock()
        self.outbound = RedisOutbound(url, clock)
        self.consumer = ConsumerProcess(
            ConsumerSettings(
                index=0,
                streams=(STREAM,),
                ranges=(ALL,),
                read=ReadSettings(
                    entries=500, bytes=1 << 20, in_flight_bytes=in_flight_bytes, pause=0.002
                ),
                dispatch=DispatchSettings(bytes=1 << 16, calls_in_flight=2),
            ),
            [self.shard],
            ConsumerPorts(
                open_stream=lambda name: RedisEventStream(url, name),
                leases=MemoryStreamLeases(MemoryDatabase()),
                outbound=self.outbound,
                history=RedisEventHistory(url),
                processes=self.process_registry,
                clock=clock,
            ),
        )
        self.running = asyncio.ensure_future(self.consumer.run())

    async def until(
        self, what: str, condition: Callable[[], Any], seconds: float = 4 * DEADLINE_SECONDS
    ) -> None:
        """Wait for a condition. If the consumer ended, fails with its error."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not condition():
            if self.running.done():
                self.running.result()
            assert asyncio.get_running_loop().time() < deadline, f"no {what}"
            await asyncio.sleep(0.01)

    def counted(self, metric: str) -> float:
        """The value of a metric in the last heartbeat, over all labels."""
        heartbeat = self.process_registry.heartbeats.get("consumer:0")
        families = heartbeat.metrics if heartbeat is not None else []
        names = (metric, f"{metric}_total")
        return sum(
            float(value)
            for family in families
            for name, _, value in family["samples"]
            if name in names
        )


@asynccontextmanager
async def running_consumer(url: str, **settings: int) -> AsyncIterator[ConsumerHarness]:
    """Run a consumer until the end of the `with` block, then stop it with nothing in flight."""
    harness = ConsumerHarness(url, **settings)
    try:
        await harness.until("readiness", lambda: harness.consumer.ready)
        yield harness
        harness.consumer.stop()
        async with asyncio.timeout(4 * DEADLINE_SECONDS):
            await harness.running
    finally:
        harness.running.cancel()
        await asyncio.wait({harness.running})
        await harness.outbound.close()


def envelope(contact: str) -> bytes:
    """Return an event of this contact."""
    return json.dumps(event("contact.tag.added", "acme", contact, {"tag_name": "x"})).encode()
