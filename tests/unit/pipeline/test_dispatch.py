"""What a consumer hands over reaches the shard once and in order, whatever fails between."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry

from goald import _native
from goald.adapters.clock import SystemClock
from goald.adapters.memory.streams import MemoryOutbound, MemoryStreams
from goald.domain.errors import LeaseLost, OutOfSequence, ServiceUnavailable, ShardDied
from goald.metrics import ConsumerMetrics
from goald.pipeline.context import PipelineContext
from goald.pipeline.early_events import HeldOutstanding
from goald.pipeline.ingest.dispatch import ShardDispatcher
from goald.pipeline.ingest.outstanding import Outstanding
from goald.pipeline.poison.breaker import CircuitBreaker
from goald.pipeline.poison.dead_letters import DeadLetters
from goald.pipeline.shard.sequence import Sequencer
from goald.pipeline.shard_batch import Shard, ShardBatch
from goald.ports.clock import Clock
from goald.settings import DispatchSettings

Fault = Callable[[int], Exception | None]


class RecordingShard:
    """Takes parts as a shard does, and fails calls where it is told to: before the parts are
    taken, or after (`late`), as when a reply is lost."""

    def __init__(self, fault: Fault = lambda _: None, late: Fault = lambda _: None) -> None:
        self.taken: list[ShardBatch] = []
        self.calls: list[int] = []
        self._sequencer = Sequencer()
        self._fault = fault
        self._late = late

    def restart(self) -> None:
        self._sequencer = Sequencer()

    async def process(self, parts: Sequence[ShardBatch]) -> None:
        number = len(self.calls)
        self.calls.append(len(parts))
        await asyncio.sleep(0)
        if error := self._fault(number):
            raise error
        for part in parts:
            future, is_next = self._sequencer.admit(part)
            if is_next:
                self.taken.append(part)
                future.set_result(None)
        if error := self._late(number):
            raise error


class RestartingClock(SystemClock):
    """While the lane waits to try again, the shard is started anew."""

    def __init__(self, shard: RecordingShard) -> None:
        self._shard = shard

    async def sleep(self, seconds: float) -> None:
        self._shard.taken.clear()
        self._shard.restart()
        await super().sleep(0)


def new_lane(
    shard: Shard,
    settings: DispatchSettings,
    *,
    clock: Clock | None = None,
    streams: MemoryStreams | None = None,
    hold: float = 0.0,
) -> ShardDispatcher:
    """`streams`: where dead letters go. `hold`: as of `ShardDispatcher`."""
    clock = clock or SystemClock()
    context = PipelineContext.create(clock, ConsumerMetrics(CollectorRegistry()))
    outbound = MemoryOutbound(streams or MemoryStreams(clock))
    breaker = CircuitBreaker(context.metrics.breaker_open)
    dead_letters = DeadLetters(context, outbound, breaker)
    outstanding = HeldOutstanding(clock, hold) if hold else Outstanding()
    return ShardDispatcher(0, shard, settings, context, dead_letters, outstanding)


@asynccontextmanager
async def lane(
    shard: RecordingShard, *, dispatch_bytes: int = 10, calls: int = 3
) -> AsyncIterator[ShardDispatcher]:
    settings = DispatchSettings(bytes=dispatch_bytes, calls_in_flight=calls)
    made = new_lane(shard, settings)
    running = asyncio.ensure_future(made.run())
    try:
        yield made
    finally:
        running.cancel()
        await asyncio.wait({running})
    if not running.cancelled():
        running.result()


async def put_all(made: ShardDispatcher, count: int) -> None:
    futures = [made.put("goald:events:0", 1, b"%03d" % number) for number in range(count)]
    async with asyncio.timeout(20):
        await asyncio.gather(*futures)


def buffers(shard: RecordingShard) -> list[bytes]:
    return [part.buffer for part in shard.taken]


async def test_parts_that_wait_share_a_call_up_to_its_bound() -> None:
    shard = RecordingShard()
    async with lane(shard) as made:
        await put_all(made, 9)
    assert shard.calls == [3, 3, 3]
    assert buffers(shard) == [b"%03d" % number for number in range(9)]


async def test_part_larger_than_the_bound_goes_alone() -> None:
    shard = RecordingShard()
    async with lane(shard, dispatch_bytes=1) as made:
        await put_all(made, 2)
    assert shard.calls == [1, 1]


@pytest.mark.parametrize("failing", [0, 1, 2])
async def test_call_that_failed_is_made_again_and_nothing_overtakes_it(failing: int) -> None:
    shard = RecordingShard(
        fault=lambda call: ServiceUnavailable("down") if call == failing else None
    )
    async with lane(shard) as made:
        await put_all(made, 20)
    assert buffers(shard) == [b"%03d" % number for number in range(20)]


async def test_parts_whose_reply_was_lost_are_not_taken_twice() -> None:
    shard = RecordingShard(late=lambda call: ServiceUnavailable("reply lost") if call < 2 else None)
    async with lane(shard) as made:
        await put_all(made, 20)
    assert buffers(shard) == [b"%03d" % number for number in range(20)]


async def test_shard_that_started_anew_gets_everything_that_is_not_done_in_order() -> None:
    shard = RecordingShard()
    lost: list[bytes] = []

    def die_once(call: int) -> Exception | None:
        if call != 1:
            return None
        lost.extend(buffers(shard))
        shard.taken.clear()
        shard.restart()
        return ServiceUnavailable("died")

    shard._fault = die_once
    async with lane(shard, calls=1) as made:
        await put_all(made, 20)
    assert lost + buffers(shard) == [b"%03d" % number for number in range(20)]


async def test_shard_that_started_anew_gets_what_is_done_behind_what_is_not() -> None:
    """The answer for the first part is lost, the second's arrives, and then the shard dies: it
    begins at the first, and could not go on without the second."""
    shard = RecordingShard(late=lambda call: ServiceUnavailable("lost") if call == 0 else None)
    settings = DispatchSettings(bytes=1, calls_in_flight=2)
    made = new_lane(shard, settings, clock=RestartingClock(shard))
    futures = [made.put("goald:events:0", 1, b"%d" % number) for number in range(4)]
    running = asyncio.ensure_future(made.run())
    try:
        async with asyncio.timeout(20):
            await asyncio.gather(*futures)
    finally:
        running.cancel()
        await asyncio.wait({running})
    assert buffers(shard)[:4] == [b"0", b"1", b"2", b"3"]


async def test_out_of_sequence_makes_the_lane_begin_again() -> None:
    shard = RecordingShard(fault=lambda call: OutOfSequence("not next") if call == 0 else None)
    async with lane(shard) as made:
        await put_all(made, 5)
    assert len(shard.taken) == 5


async def test_lost_stream_ends_the_lane() -> None:
    shard = RecordingShard(fault=lambda _: LeaseLost("replaced"))
    settings = DispatchSettings(bytes=10, calls_in_flight=1)
    made = new_lane(shard, settings)
    made.put("goald:events:0", 1, b"x")
    with pytest.raises(LeaseLost):
        async with asyncio.timeout(5):
            await made.run()


async def test_a_shard_that_lives_takes_what_is_cut_anew_again_and_passes_over_nothing() -> None:
    """Its calls failed as if it had died: what was cut goes under numbers it has not heard of,
    and must not be taken for what it has."""
    body = b'{"tenantid": "t", "data": {"contact_id": "c%d"}}'
    entries = [[b"1-%d" % number, [b"event", body % number]] for number in range(24)]
    router = _native.Router(bytes(256))
    whole = [router.route(part).buffers[0][1] for part in (entries[:12], entries[12:])]
    shard = RecordingShard(late=lambda call: ShardDied("gone") if call < 3 else None)
    async with lane(shard, dispatch_bytes=1 << 16) as made, asyncio.timeout(20):
        await asyncio.gather(*(made.put("goald:events:0", 1, buffer) for buffer in whole))
    assert buffers(shard)[:2] == whole
    found = [entry for cut in buffers(shard)[2:] for entry in _native.buffer_entries(cut)]
    assert list(dict.fromkeys(entry_id for entry_id, _ in found)) == [each[0] for each in entries]
    numbers = [part.sequence for part in shard.taken]
    assert numbers == sorted(set(numbers))


async def test_a_shard_that_died_twice_is_told_again_of_what_it_held() -> None:
    """What is done waits there for its enrollment (E7), and nobody else has written it down."""
    body = b'{"tenantid": "t", "data": {"contact_id": "c%d"}}'
    entries = [[b"1-%d" % number, [b"event", body % number]] for number in range(24)]
    router = _native.Router(bytes(256))
    held, deadly = (router.route(part).buffers[0][1] for part in (entries[:1], entries[1:]))
    deaths: set[int] = set()
    shard = RecordingShard(fault=lambda call: ShardDied("gone") if call in deaths else None)
    settings = DispatchSettings(bytes=1 << 16, calls_in_flight=1)
    made = new_lane(shard, settings, clock=RestartingClock(shard), hold=3_600)
    running = asyncio.ensure_future(made.run())
    try:
        async with asyncio.timeout(20):
            await made.put("goald:events:0", 1, held)
            deaths |= {1, 3}  # of the second part; in between it has the first again
            await made.put("goald:events:0", 1, deadly)
    finally:
        running.cancel()
        await asyncio.wait({running})
    assert buffers(shard)[0] == held
    found = [entry for part in buffers(shard) for entry in _native.buffer_entries(part)]
    assert [entry_id for entry_id, _ in found] == [each[0] for each in entries]
