"""A shard learns until when each stream was dispatched to it (X6)."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from goald.adapters.memory.clock import ManualClock
from goald.adapters.memory.streams import MemoryEventStream, MemoryStreams
from goald.domain.errors import ServiceUnavailable
from goald.domain.leases import StreamLease
from goald.pipeline.ingest.marks import MARK_SECONDS, PROBE_SECONDS, MarkSender
from goald.pipeline.ingest.outstanding import Outstanding
from goald.pipeline.ingest.read import StreamReader
from goald.pipeline.shard_batch import Processed, ShardBatch, StreamMark
from goald.settings import ReadSettings

A, B = "goald:events:0", "goald:events:1"


class MarkedShard:
    """Records the marks of each call."""

    def __init__(self) -> None:
        self.calls: list[list[StreamMark]] = []
        self.needs_marks = True
        self.is_down = False

    async def process(self, batches: Sequence[ShardBatch]) -> Processed:
        return Processed()

    async def mark(self, marks: Sequence[StreamMark]) -> bool:
        if self.is_down:
            raise ServiceUnavailable("restarting")
        self.calls.append(list(marks))
        return self.needs_marks


class Sending:
    """A sender that runs."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.shard = MarkedShard()
        self.outstanding = Outstanding()
        self.marks = MarkSender(self.shard, self.outstanding, self.clock)

    async def pass_time(self, seconds: float) -> None:
        await self.clock.advance(seconds)
        for _ in range(5):
            await asyncio.sleep(0)


@asynccontextmanager
async def sending() -> AsyncIterator[Sending]:
    sending = Sending()
    running = asyncio.ensure_future(sending.marks.run())
    try:
        yield sending
    finally:
        running.cancel()


async def test_a_mark_names_the_batches_that_precede_it() -> None:
    async with sending() as to:
        batches = [to.outstanding.add(A, 3, b"") for _ in range(4)]
        to.outstanding.complete(batches[0])
        to.marks.put(A, 3, 1_000)
        to.marks.put(B, 3, 900)
        await to.pass_time(0)
        assert to.shard.calls == [[StreamMark(A, 3, 4, 1, 1_000), StreamMark(B, 3, 0, 0, 900)]]


async def test_only_the_latest_mark_of_a_stream_is_sent() -> None:
    async with sending() as to:
        for until in range(100):
            to.marks.put(A, 1, until)
            await to.pass_time(0)
        assert [mark.at_ms for call in to.shard.calls for mark in call] == [0]
        await to.pass_time(MARK_SECONDS)
        assert [mark.at_ms for call in to.shard.calls for mark in call] == [0, 99]


async def test_a_shard_without_workflows_is_marked_rarely() -> None:
    async with sending() as to:
        to.shard.needs_marks = False
        for _ in range(3):
            to.marks.put(A, 1, 1_000)
            await to.pass_time(0)
            assert to.marks.seconds == PROBE_SECONDS
            await to.pass_time(2 * MARK_SECONDS)
        assert len(to.shard.calls) == 1
        to.shard.needs_marks = True
        await to.pass_time(PROBE_SECONDS)
        assert to.marks.seconds == MARK_SECONDS


async def test_marks_continue_after_a_failed_call() -> None:
    async with sending() as to:
        to.shard.is_down = True
        to.marks.put(A, 1, 1_000)
        await to.pass_time(PROBE_SECONDS)
        to.shard.is_down = False
        to.marks.put(A, 1, 2_000)
        await to.pass_time(PROBE_SECONDS)
        assert to.shard.calls == [[StreamMark(A, 1, 0, 0, 2_000)]]


async def test_a_read_knows_every_entry_that_is_older_than_its_time() -> None:
    clock = ManualClock()
    streams = MemoryStreams(clock)
    stream = MemoryEventStream(streams, A)
    await stream.fence(StreamLease(A, 1, "holder"))
    settings = ReadSettings(entries=2, bytes=1 << 20, in_flight_bytes=1 << 20, pause=0)
    reader = StreamReader(stream, settings)
    added_at_ms = clock.now_us() // 1_000
    for _ in range(3):
        await streams.add(A, [b"event", b"{}"])
    await clock.advance(1)
    await reader.read()
    assert reader.until_ms == added_at_ms - 1  # another entry of this millisecond follows
    await reader.read()
    assert reader.until_ms == clock.now_us() // 1_000 - 1
    await clock.advance(1)
    await reader.read()
    assert reader.until_ms == clock.now_us() // 1_000 - 1
