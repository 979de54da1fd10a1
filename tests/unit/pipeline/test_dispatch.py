"""Batches reach the shard once and in order, despite failed calls and restarts."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry
from tests.support.pipeline.recording_shard import GoalShard

from goald import _native
from goald.adapters.clock import SystemClock
from goald.adapters.memory.streams import MemoryOutbound, MemoryStreams
from goald.domain.errors import LeaseLost, OutOfSequence, ServiceUnavailable, ShardDied
from goald.metrics.pipeline import ConsumerMetrics
from goald.pipeline.context import PipelineContext
from goald.pipeline.early_events import HeldOutstanding
from goald.pipeline.ingest.dispatch import ShardDispatcher
from goald.pipeline.ingest.outstanding import Outstanding
from goald.pipeline.poison.breaker import CircuitBreaker
from goald.pipeline.poison.dead_letters import DeadLetters
from goald.pipeline.shard.sequence import Sequencer
from goald.pipeline.shard_batch import Processed, Shard, ShardBatch
from goald.ports.clock import Clock
from goald.settings import DispatchSettings

Fault = Callable[[int], Exception | None]


class SequencedShard(GoalShard):
    """Accepts batches as a shard does. `fault` makes a call fail before its batches are accepted,
    `late` after, as when a reply is lost."""

    def __init__(self, fault: Fault = lambda _: None, late: Fault = lambda _: None) -> None:
        self.accepted: list[ShardBatch] = []
        self.calls: list[int] = []
        self._sequencer = Sequencer()
        self._fault = fault
        self._late = late

    def restart(self) -> None:
        self._sequencer = Sequencer()

    async def process(self, batches: Sequence[ShardBatch]) -> Processed:
        number = len(self.calls)
        self.calls.append(len(batches))
        await asyncio.sleep(0)
        if error := self._fault(number):
            raise error
        for batch in batches:
            future, is_next = self._sequencer.admit(batch)
            if is_next:
                self.accepted.append(batch)
                future.set_result(())
        if error := self._late(number):
            raise error
        return Processed()


class DeferringShard(GoalShard):
    """Defers the events of these batches, each until its event is set."""

    def __init__(self, *deferred: bytes) -> None:
        self.finish = {buffer: asyncio.Event() for buffer in deferred}
        self.calls: list[tuple[list[bytes], bool]] = []
        """The buffers of each call, and whether it may return while events are deferred."""
        self.dies = False
        """Whether the next call that waits for everything fails."""
        self.dies_of: bytes | None = None
        """The next call with this buffer fails."""
        self.refuses: bytes | None = None
        """The next call with this buffer fails, but the shard lives."""

    async def process(self, batches: Sequence[ShardBatch]) -> Processed:
        may_be_deferred = all(batch.may_be_deferred for batch in batches)
        self.calls.append(([batch.buffer for batch in batches], may_be_deferred))
        if self.dies_of in self.calls[-1][0]:
            self.dies_of = None
            raise ShardDied("it died")
        if self.refuses in self.calls[-1][0]:
            self.refuses = None
            raise ServiceUnavailable("busy")
        unfinished = [
            index
            for index, batch in enumerate(batches)
            if batch.buffer in self.finish and not self.finish[batch.buffer].is_set()
        ]
        if may_be_deferred:
            return Processed(unfinished)
        if self.dies:
            self.dies = False
            raise ShardDied("it died")
        for index in unfinished:
            await self.finish[batches[index].buffer].wait()
        return Processed()


class RestartingClock(SystemClock):
    """Restarts the shard whenever the dispatcher waits before a retry."""

    def __init__(self, shard: SequencedShard) -> None:
        self._shard = shard

    async def sleep(self, seconds: float) -> None:
        self._shard.accepted.clear()
        self._shard.restart()
        await super().sleep(0)


def new_dispatcher(
    shard: Shard,
    settings: DispatchSettings,
    *,
    clock: Clock | None = None,
    streams: MemoryStreams | None = None,
    hold: float = 0.0,
) -> ShardDispatcher:
    """`streams`: where dead letters are written. `hold`: seconds, for early events."""
    clock = clock or SystemClock()
    context = PipelineContext.create(clock, ConsumerMetrics(CollectorRegistry()))
    outbound = MemoryOutbound(streams or MemoryStreams(clock))
    breaker = CircuitBreaker(context.metrics.breaker_open)
    dead_letters = DeadLetters(context, outbound, breaker)
    outstanding = HeldOutstanding(clock, hold) if hold else Outstanding()
    return ShardDispatcher(0, shard, settings, context, dead_letters, outstanding)


@asynccontextmanager
async def running_dispatcher(
    shard: Shard, *, dispatch_bytes: int = 10, calls: int = 3
) -> AsyncIterator[ShardDispatcher]:
    settings = DispatchSettings(bytes=dispatch_bytes, calls_in_flight=calls)
    dispatcher = new_dispatcher(shard, settings)
    running = asyncio.ensure_future(dispatcher.run())
    try:
        yield dispatcher
    finally:
        running.cancel()
        await asyncio.wait({running})
    if not running.cancelled():
        running.result()


async def put_all(dispatcher: ShardDispatcher, count: int) -> None:
    futures = [dispatcher.put("goald:events:0", 1, b"%03d" % number) for number in range(count)]
    async with asyncio.timeout(20):
        await asyncio.gather(*futures)


def buffers(shard: SequencedShard) -> list[bytes]:
    return [batch.buffer for batch in shard.accepted]


async def test_waiting_batches_share_a_call_up_to_its_size() -> None:
    shard = SequencedShard()
    async with running_dispatcher(shard) as dispatcher:
        await put_all(dispatcher, 9)
    assert shard.calls == [3, 3, 3]
    assert buffers(shard) == [b"%03d" % number for number in range(9)]


async def test_batch_larger_than_a_call_is_sent_alone() -> None:
    shard = SequencedShard()
    async with running_dispatcher(shard, dispatch_bytes=1) as dispatcher:
        await put_all(dispatcher, 2)
    assert shard.calls == [1, 1]


@pytest.mark.parametrize("failing", [0, 1, 2])
async def test_failed_call_is_repeated_and_nothing_overtakes_it(failing: int) -> None:
    shard = SequencedShard(
        fault=lambda call: ServiceUnavailable("down") if call == failing else None
    )
    async with running_dispatcher(shard) as dispatcher:
        await put_all(dispatcher, 20)
    assert buffers(shard) == [b"%03d" % number for number in range(20)]


async def test_batches_whose_reply_was_lost_are_not_accepted_twice() -> None:
    shard = SequencedShard(late=lambda call: ServiceUnavailable("reply lost") if call < 2 else None)
    async with running_dispatcher(shard) as dispatcher:
        await put_all(dispatcher, 20)
    assert buffers(shard) == [b"%03d" % number for number in range(20)]


async def test_restarted_shard_receives_every_unprocessed_batch_in_order() -> None:
    shard = SequencedShard()
    lost: list[bytes] = []

    def die_once(call: int) -> Exception | None:
        if call != 1:
            return None
        lost.extend(buffers(shard))
        shard.accepted.clear()
        shard.restart()
        return ServiceUnavailable("died")

    shard._fault = die_once
    async with running_dispatcher(shard, calls=1) as dispatcher:
        await put_all(dispatcher, 20)
    assert lost + buffers(shard) == [b"%03d" % number for number in range(20)]


async def test_restarted_shard_receives_processed_batches_behind_an_unprocessed_one() -> None:
    """The reply for the first batch is lost, the second's arrives, then the shard dies. It starts
    at the first batch, and could not continue without the second."""
    shard = SequencedShard(late=lambda call: ServiceUnavailable("lost") if call == 0 else None)
    settings = DispatchSettings(bytes=1, calls_in_flight=2)
    dispatcher = new_dispatcher(shard, settings, clock=RestartingClock(shard))
    futures = [dispatcher.put("goald:events:0", 1, b"%d" % number) for number in range(4)]
    running = asyncio.ensure_future(dispatcher.run())
    try:
        async with asyncio.timeout(20):
            await asyncio.gather(*futures)
    finally:
        running.cancel()
        await asyncio.wait({running})
    assert buffers(shard)[:4] == [b"0", b"1", b"2", b"3"]


async def test_dispatcher_starts_over_after_out_of_sequence() -> None:
    shard = SequencedShard(fault=lambda call: OutOfSequence("not next") if call == 0 else None)
    async with running_dispatcher(shard) as dispatcher:
        await put_all(dispatcher, 5)
    assert len(shard.accepted) == 5


async def test_lost_stream_lease_ends_the_dispatcher() -> None:
    shard = SequencedShard(fault=lambda _: LeaseLost("replaced"))
    settings = DispatchSettings(bytes=10, calls_in_flight=1)
    dispatcher = new_dispatcher(shard, settings)
    dispatcher.put("goald:events:0", 1, b"x")
    with pytest.raises(LeaseLost):
        async with asyncio.timeout(5):
            await dispatcher.run()


async def test_shard_that_kept_running_accepts_split_batches_again_completely() -> None:
    """Its calls failed as if it had died. The split batches get unused numbers, so that the shard
    does not mistake them for batches that it already has."""
    body = b'{"tenantid": "t", "data": {"contact_id": "c%d"}}'
    entries = [[b"1-%d" % number, [b"event", body % number]] for number in range(24)]
    router = _native.Router(bytes(256))
    whole = [router.route(batch).buffers[0][1] for batch in (entries[:12], entries[12:])]
    shard = SequencedShard(late=lambda call: ShardDied("gone") if call < 3 else None)
    async with running_dispatcher(shard, dispatch_bytes=1 << 16) as dispatcher, asyncio.timeout(20):
        await asyncio.gather(*(dispatcher.put("goald:events:0", 1, buffer) for buffer in whole))
    assert buffers(shard)[:2] == whole
    found = [entry for cut in buffers(shard)[2:] for entry in _native.buffer_entries(cut)]
    assert list(dict.fromkeys(entry_id for entry_id, _ in found)) == [each[0] for each in entries]
    numbers = [batch.sequence for batch in shard.accepted]
    assert numbers == sorted(set(numbers))


async def test_shard_that_died_twice_receives_held_events_again() -> None:
    """Processed events wait at the shard for their enrollments (E7); nothing else stores them."""
    body = b'{"tenantid": "t", "data": {"contact_id": "c%d"}}'
    entries = [[b"1-%d" % number, [b"event", body % number]] for number in range(24)]
    router = _native.Router(bytes(256))
    first, deadly = (router.route(batch).buffers[0][1] for batch in (entries[:1], entries[1:]))
    deaths: set[int] = set()
    shard = SequencedShard(fault=lambda call: ShardDied("gone") if call in deaths else None)
    settings = DispatchSettings(bytes=1 << 16, calls_in_flight=1)
    dispatcher = new_dispatcher(shard, settings, clock=RestartingClock(shard), hold=3_600)
    running = asyncio.ensure_future(dispatcher.run())
    try:
        async with asyncio.timeout(20):
            await dispatcher.put("goald:events:0", 1, first)
            deaths |= {
                1,
                3,
            }  # while the shard has the second batch; between them, it has the first again
            await dispatcher.put("goald:events:0", 1, deadly)
    finally:
        running.cancel()
        await asyncio.wait({running})
    assert buffers(shard)[0] == first
    found = [entry for batch in buffers(shard) for entry in _native.buffer_entries(batch)]
    assert [entry_id for entry_id, _ in found] == [each[0] for each in entries]


async def test_batches_are_processed_while_earlier_ones_have_deferred_events() -> None:
    shard = DeferringShard(b"slow")
    async with running_dispatcher(shard, calls=1) as dispatcher, asyncio.timeout(20):
        slow = dispatcher.put("goald:events:0", 1, b"slow")
        for number in range(5):
            await dispatcher.put("goald:events:0", 1, b"%03d" % number)
        assert not slow.done()
        assert dispatcher.awaits_deferred
        shard.finish[b"slow"].set()
        await slow
        await dispatcher.put("goald:events:0", 1, b"last")
        assert not dispatcher.awaits_deferred
    assert [buffers for buffers, may_be_deferred in shard.calls if not may_be_deferred] == [
        [b"slow"]
    ]


async def test_deferred_events_of_one_stream_do_not_hold_up_those_of_another() -> None:
    shard = DeferringShard(b"slow", b"soon")
    async with running_dispatcher(shard) as dispatcher, asyncio.timeout(20):
        slow = dispatcher.put("goald:events:0", 1, b"slow")
        await dispatcher.put("goald:events:0", 1, b"other")
        soon = dispatcher.put("goald:events:1", 1, b"soon")
        await dispatcher.put("goald:events:1", 1, b"other")
        shard.finish[b"soon"].set()
        await soon
        assert not slow.done()


async def test_deferred_batches_are_suspects_of_a_shard_that_dies() -> None:
    """They are sent in a call that waits for everything, so that the next death is counted."""
    shard = DeferringShard(b"slow")
    shard.dies = True
    async with running_dispatcher(shard) as dispatcher, asyncio.timeout(20):
        slow = dispatcher.put("goald:events:0", 1, b"slow")
        while len(shard.calls) < 3:
            await asyncio.sleep(0.01)
        shard.finish[b"slow"].set()
        await slow
    assert shard.calls == [([b"slow"], True), ([b"slow"], False), ([b"slow"], False)]


async def test_no_batch_is_sent_with_a_suspect_that_has_deferred_events() -> None:
    """If the shard dies of the deferred events, another batch would be blamed."""
    shard = DeferringShard(b"slow")
    shard.dies = True
    async with running_dispatcher(shard) as dispatcher, asyncio.timeout(20):
        suspect = dispatcher.put("goald:events:0", 1, b"slow")
        while len(shard.calls) < 3:
            await asyncio.sleep(0.01)
        other = dispatcher.put("goald:events:1", 1, b"other")
        await asyncio.sleep(0.05)
        assert len(shard.calls) == 3
        shard.finish[b"slow"].set()
        await asyncio.gather(suspect, other)


async def test_batches_that_were_deferred_at_the_death_of_a_shard_are_suspects() -> None:
    """The call that fails is another, but their events were being processed, too."""
    shard = DeferringShard(b"slow")
    shard.dies_of = b"dead"
    async with running_dispatcher(shard, dispatch_bytes=4) as dispatcher, asyncio.timeout(20):
        dead = dispatcher.put("goald:events:0", 1, b"dead")
        slow = dispatcher.put("goald:events:0", 1, b"slow")
        await dead
        shard.finish[b"slow"].set()
        await slow
    assert ([b"slow"], True) in shard.calls[:2]
    assert not any(may_be_deferred for _, may_be_deferred in shard.calls[2:])


async def test_failed_call_is_repeated_while_events_are_deferred() -> None:
    """It may take long until they are processed, and events of other tenants must not wait."""
    shard = DeferringShard(b"slow")
    async with running_dispatcher(shard) as dispatcher, asyncio.timeout(20):
        slow = dispatcher.put("goald:events:0", 1, b"slow")
        while len(shard.calls) < 2:
            await asyncio.sleep(0.01)
        shard.refuses = b"other"
        await dispatcher.put("goald:events:0", 1, b"other")
        assert not slow.done()
        shard.finish[b"slow"].set()
        await slow
    assert shard.calls[2:] == [([b"other"], True)] * 2


async def test_calls_that_wait_for_deferred_events_are_bounded_in_bytes() -> None:
    names = [b"slow-%d" % number for number in range(5)]
    shard = DeferringShard(*names)
    async with running_dispatcher(shard, dispatch_bytes=12) as dispatcher, asyncio.timeout(20):
        slow = [dispatcher.put("goald:events:0", 1, name) for name in names]
        while sum(may_be_deferred for _, may_be_deferred in shard.calls) < 3:
            await asyncio.sleep(0.01)
        for name in names:
            shard.finish[name].set()
        await asyncio.gather(*slow)
    waiting = [buffers for buffers, may_be_deferred in shard.calls if not may_be_deferred]
    assert waiting == [names[:2], names[2:4], names[4:]]
