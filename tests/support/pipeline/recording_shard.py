"""A consumer over a real Redis, and a shard that does nothing but remember what it was given."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from tests.support.pipeline.in_memory_pipeline import ALL, DEADLINE_SECONDS, STREAM, MemoryBoard

from goald import _native
from goald.adapters.clock import SystemClock
from goald.adapters.memory.database import MemoryDatabase
from goald.adapters.memory.store import MemoryStreamLeases
from goald.adapters.redis import RedisEventStream, RedisOutbound
from goald.client import event
from goald.domain.errors import ServiceUnavailable
from goald.pipeline.shard.sequence import Sequencer
from goald.pipeline.shard_batch import ShardBatch
from goald.runtime.processes.consumer import ConsumerPorts, ConsumerProcess, ConsumerSettings
from goald.settings import DispatchSettings, ReadSettings


class Memo:
    """A `Shard` that takes every part in its turn, and is done with it once it is let."""

    def __init__(self) -> None:
        self.contacts: list[str] = []
        """Whose events it was given, in order, repeats included."""
        self.may_finish = asyncio.Event()
        self.may_finish.set()
        self.is_away = False
        self.largest_call = 0
        self._sequencer = Sequencer()

    async def process(self, parts: Sequence[ShardBatch]) -> None:
        if self.is_away:
            raise ServiceUnavailable("the shard is away")
        self.largest_call = max(self.largest_call, sum(len(part.buffer) for part in parts))
        for part in parts:
            await self._sequencer.turn(part)
            future, is_next = self._sequencer.admit(part)
            if is_next:
                for _, found in _native.buffer_entries(part.buffer):
                    self.contacts.append(json.loads(found)["data"]["contact_id"])
                future.set_result(None)
        await self.may_finish.wait()


class Reading:
    """A consumer of one stream that is running."""

    def __init__(self, url: str, *, in_flight_bytes: int = 1 << 20) -> None:
        self.shard = Memo()
        self.board = MemoryBoard()
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
                processes=self.board,
                clock=clock,
            ),
        )
        self.running = asyncio.ensure_future(self.consumer.run())

    async def until(
        self, what: str, true: Callable[[], Any], seconds: float = 4 * DEADLINE_SECONDS
    ) -> None:
        """Wait for a condition; fails with what ended the consumer, where that is why."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not true():
            if self.running.done():
                self.running.result()
            assert asyncio.get_running_loop().time() < deadline, f"no {what}"
            await asyncio.sleep(0.01)

    def counted(self, metric: str) -> float:
        """What its last heartbeat said of a metric, over all labels."""
        beat = self.board.beats.get("consumer:0")
        families = beat.metrics if beat is not None else []
        names = (metric, f"{metric}_total")
        return sum(
            float(value)
            for family in families
            for name, _, value in family["samples"]
            if name in names
        )


@asynccontextmanager
async def reading(url: str, **settings: int) -> AsyncIterator[Reading]:
    """A consumer, ready; stopped at the end, when everything must be done."""
    made = Reading(url, **settings)
    try:
        await made.until("readiness", lambda: made.consumer.ready)
        yield made
        made.consumer.stop()
        async with asyncio.timeout(4 * DEADLINE_SECONDS):
            await made.running
    finally:
        made.running.cancel()
        await asyncio.wait({made.running})
        await made.outbound.close()


def envelope(contact: str) -> bytes:
    """An event of this contact."""
    return json.dumps(event("contact.tag.added", "acme", contact, {"tag_name": "x"})).encode()
