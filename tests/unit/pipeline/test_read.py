"""The reader misses no entry, and its batches are bounded."""

import pytest

from goald.adapters.memory.clock import ManualClock
from goald.adapters.memory.streams import MemoryEventStream, MemoryStreams
from goald.domain.errors import ServiceUnavailable
from goald.domain.leases import StreamLease
from goald.pipeline.ingest.read import StreamReader
from goald.ports.event_stream import RawEntry
from goald.settings import ReadSettings

NAME = "goald:events:0"
SETTINGS = ReadSettings(entries=10, bytes=1_000_000, in_flight_bytes=1_000_000, pause=0)


class FaultyStream(MemoryEventStream):
    """Loses the reply of one read."""

    lose_next = False

    async def read(self, after: bytes, count: int) -> list[RawEntry]:
        entries = await super().read(after, count)
        if self.lose_next:
            self.lose_next = False
            raise ServiceUnavailable("the connection was reset")
        return entries


@pytest.fixture
async def stream() -> FaultyStream:
    streams = MemoryStreams(ManualClock())
    stream = FaultyStream(streams, NAME)
    await stream.fence(StreamLease(NAME, 1, "test"))
    for number in range(25):
        await streams.add(NAME, [b"event", b"%d" % number])
    return stream


def numbers(entries: list[RawEntry]) -> list[int]:
    return [int(entry[1][1]) for entry in entries]


async def read_all(reader: StreamReader) -> list[int]:
    found: list[int] = []
    while entries := await reader.read():
        found += numbers(entries)
    return found


async def test_entries_are_read_in_order_in_bounded_batches(stream: FaultyStream) -> None:
    reader = StreamReader(stream, SETTINGS)
    assert numbers(await reader.read()) == list(range(10))
    assert await read_all(reader) == list(range(10, 25))


async def test_next_holder_reads_from_the_first_unacknowledged_entry(stream: FaultyStream) -> None:
    first = StreamReader(stream, SETTINGS)
    entries = await first.read()
    await stream.acknowledge(entries[6][0], 7)
    following = StreamReader(stream, SETTINGS)
    following.seek(await stream.fence(StreamLease(NAME, 2, "following")))
    assert await read_all(following) == list(range(7, 25))


async def test_entries_of_a_lost_reply_are_read_again(stream: FaultyStream) -> None:
    reader = StreamReader(stream, SETTINGS)
    found = numbers(await reader.read())
    stream.lose_next = True
    with pytest.raises(ServiceUnavailable):
        await reader.read()
    assert found + await read_all(reader) == list(range(25))


async def test_large_entries_make_smaller_batches(stream: FaultyStream) -> None:
    settings = ReadSettings(entries=1_000, bytes=100_000, in_flight_bytes=100_000, pause=0)
    reader = StreamReader(stream, settings)
    reader.observe_size(entries=10, size=10 * 50_000)
    assert len(await reader.read()) == 2


class SlowStream(MemoryEventStream):
    """A read fails if its entries are too large to arrive in time."""

    most_bytes = 4_000_000

    async def read(self, after: bytes, count: int) -> list[RawEntry]:
        entries = await super().read(after, count)
        if sum(len(fields[1]) for _, fields in entries) > self.most_bytes:
            raise ServiceUnavailable("Redis cannot be reached: TimeoutError")
        return entries


async def test_entries_too_large_for_one_read_are_read_in_several() -> None:
    """Small entries came before, so the reader at first requests as many as allowed."""
    streams = MemoryStreams(ManualClock())
    stream = SlowStream(streams, NAME)
    await stream.fence(StreamLease(NAME, 1, "test"))
    for _ in range(200):
        await streams.add(NAME, [b"event", bytes(60_000)])
    settings = ReadSettings(entries=2_000, bytes=2 << 20, in_flight_bytes=1 << 20, pause=0)
    reader = StreamReader(stream, settings)
    reader.observe_size(entries=2_000, size=2_000 * 300)
    found = failed = 0
    while found < 200 and failed < 20:
        try:
            entries = await reader.read()
        except ServiceUnavailable:
            failed += 1
        else:
            found += len(entries)
            reader.observe_size(len(entries), 60_000 * len(entries))
    assert found == 200
    assert failed <= 6
