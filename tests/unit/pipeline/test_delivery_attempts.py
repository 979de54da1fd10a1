"""An event that a process dies of each time is set aside, alone, and nothing else is (D4)."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from tests.support.pipeline.in_memory_pipeline import STREAM, House

from goald import _native
from goald.adapters.clock import SystemClock
from goald.adapters.memory.streams import MemoryEventStream
from goald.client import event
from goald.domain.errors import BreakerOpen, ServiceUnavailable, ShardDied
from goald.domain.fail_points import FailPoint
from goald.pipeline.poison.isolation import Isolation
from goald.pipeline.shard.evaluate import Evaluator
from goald.pipeline.shard_batch import Shard, ShardBatch
from goald.ports.event_stream import EventStream, RawEntry
from goald.runtime.processes.consumer import ConsumerProcess

FATAL = b"fatal"


class Panic(BaseException):
    """As pyo3's PanicException is."""


class Fragile(Evaluator):
    """Panics where it is given a fatal event; tells what it was given."""

    def __init__(self, house: House, groups: list[list[bytes]]) -> None:
        super().__init__(house.store, clock_skew_us=0)
        self._groups = groups

    def evaluate(self, buffers: Sequence[bytes], now_us: int) -> _native.Proposal:
        events = [event for each in buffers for _, event in _native.buffer_entries(each)]
        self._groups.append(events)
        if any(FATAL in each for each in events):
            raise Panic
        return super().evaluate(buffers, now_us)


class Phoenix:
    """A `Shard` that is started anew whenever it dies."""

    def __init__(self, house: House, *, is_ours: bool = True) -> None:
        """`is_ours`: whether who called is told that it died, and not that it is away."""
        self._house = house
        self._is_ours = is_ours
        self.groups: list[list[bytes]] = []
        """The events of each evaluation."""
        self.deaths = 0
        self._begin()

    def _begin(self) -> None:
        self.shard = self._house.shard(evaluator=Fragile(self._house, self.groups))
        self.running = asyncio.ensure_future(self.shard.run())

    async def process(self, parts: Sequence[ShardBatch]) -> None:
        running = self.running
        answering = asyncio.ensure_future(self.shard.process(parts))
        await asyncio.wait({answering, running}, return_when=asyncio.FIRST_COMPLETED)
        if answering.done():
            return answering.result()
        answering.cancel()
        if running is self.running:
            assert isinstance(running.exception(), BaseExceptionGroup)
            self.deaths += 1
            self._begin()
        raise (ShardDied if self._is_ours else ServiceUnavailable)("it died")

    async def end(self) -> None:
        self.running.cancel()
        await asyncio.wait({self.running})


@asynccontextmanager
async def consuming(house: House, *shards: Shard) -> AsyncIterator[ConsumerProcess]:
    consumer = house.consumer(shards[0])
    running = asyncio.ensure_future(consumer.run())
    try:
        yield consumer
        consumer.stop()
        async with asyncio.timeout(20):
            await running
    finally:
        running.cancel()
        await asyncio.wait({running})


async def send_fatal(house: House, contact: str, tenant: str = "acme") -> None:
    body = json.dumps(event("contact.tag.added", tenant, contact, {"tag_name": FATAL.decode()}))
    await house.streams.add(STREAM, [b"event", body.encode()])


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.01)


async def settled(house: House) -> None:
    await until(lambda: house.unacknowledged == 0)


async def test_of_a_whole_read_only_the_fatal_event_is_set_aside() -> None:
    house = House()
    house.configure()
    for number in range(90):
        await house.enrol(f"e-{number}", f"c-{number}")
        if number == 40:
            await send_fatal(house, "c-40")
        await house.tag(contact=f"c-{number}")
    shard = Phoenix(house)
    async with consuming(house, shard):
        await settled(house)
    await shard.end()
    (letter,) = house.dead
    assert FATAL in letter[b"event"]
    assert letter[b"delivery_attempts"] == b"5"
    assert shard.deaths == 5
    assert set(house.exits) == {f"e-{number}" for number in range(90)}


async def test_what_is_set_aside_was_alone_the_last_two_times() -> None:
    house = House()
    house.configure()
    for number in range(20):
        await house.enrol(f"e-{number}", f"c-{number}")
    await send_fatal(house, "x")
    shard = Phoenix(house)
    async with consuming(house, shard):
        await settled(house)
    await shard.end()
    fatal = [group for group in shard.groups if any(FATAL in each for each in group)]
    assert [len(group) for group in fatal[-2:]] == [1, 1]


async def test_events_of_a_contact_do_not_overtake_the_one_that_is_tried() -> None:
    house = House()
    house.configure()
    await house.enrol("e-1", "ann")
    await send_fatal(house, "ann")
    await house.tag(contact="ann")
    shard = Phoenix(house)
    async with consuming(house, shard):
        await until(lambda: shard.deaths >= 1)
        await house.enrol("e-2", "ann")
        await house.tag(contact="ann")
        await settled(house)
    await shard.end()
    died = [any(FATAL in each for each in group) for group in shard.groups]
    last = len(died) - 1 - died[::-1].index(True)
    survived = [group for group, dead in zip(shard.groups[:last], died, strict=False) if not dead]
    assert not any(b"Customer" in each for group in survived for each in group)
    assert list(dict.fromkeys(house.exits)) == ["e-1", "e-2"]
    assert len(house.dead) == 1


async def test_several_fatal_events_are_all_found() -> None:
    house = House()
    house.configure()
    for number in range(30):
        await house.enrol(f"e-{number}", f"c-{number}")
        if number % 10 == 3:
            await send_fatal(house, f"c-{number}")
        await house.tag(contact=f"c-{number}")
    shard = Phoenix(house)
    async with consuming(house, shard):
        await settled(house)
    await shard.end()
    assert len(house.dead) == 3
    assert set(house.exits) == {f"e-{number}" for number in range(30)}


async def test_events_under_way_when_a_shard_is_merely_away_are_never_set_aside() -> None:
    """A shard that loses Postgres ends, too, and may do so again and again."""
    house = House()
    house.configure()
    await house.enrol("e-1", "ann")
    await send_fatal(house, "bob")
    shard = Phoenix(house, is_ours=False)
    consumer = house.consumer(shard)
    running = asyncio.ensure_future(consumer.run())
    await until(lambda: shard.deaths >= 7)
    running.cancel()
    await asyncio.wait({running})
    await shard.end()
    assert house.dead == []
    assert house.unacknowledged > 0


class Remembering(MemoryEventStream):
    """Tells what was read of it last."""

    last_read: Sequence[RawEntry] = ()

    async def read(self, after: bytes, count: int) -> list[RawEntry]:
        entries = await super().read(after, count)
        Remembering.last_read = entries
        return entries


class Doomed(House):
    """A house whose consumer dies of routing a fatal event."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.fail_point = self._die_of_fatal

    def open_stream(self, name: str) -> EventStream:
        return Remembering(self.streams, name)

    @staticmethod
    def _die_of_fatal(step: FailPoint) -> None:
        if step is FailPoint.ROUTED and any(
            FATAL in entry[1][1] for entry in Remembering.last_read
        ):
            raise Panic


async def test_an_event_that_the_consumer_dies_of_is_set_aside() -> None:
    house = Doomed()
    house.configure()
    for number in range(20):
        await house.enrol(f"e-{number}", f"c-{number}")
        if number == 12:
            await send_fatal(house, "x")
        await house.tag(contact=f"c-{number}")
    shard = house.shard()
    shard_running = asyncio.ensure_future(shard.run())
    deaths = 0
    while house.unacknowledged:
        consumer = house.consumer(shard)
        running = asyncio.ensure_future(consumer.run())
        await until(lambda: house.unacknowledged == 0 or running.done())  # noqa: B023
        if running.done():
            assert running.exception() is not None
            deaths += 1
        else:
            consumer.stop()
            await running
    shard.stop()
    await shard_running
    (letter,) = house.dead
    assert FATAL in letter[b"event"]
    assert letter[b"delivery_attempts"] == b"5"
    assert deaths <= 9
    assert set(house.exits) == {f"e-{number}" for number in range(20)}


async def test_a_consumer_that_lost_its_lease_again_and_again_sets_nothing_aside() -> None:
    house = House()
    house.configure()
    await house.enrol("e-1", "ann")
    away = Away()
    for _ in range(8):
        consumer = house.consumer(away)
        running = asyncio.ensure_future(consumer.run())
        calls = away.calls
        await until(lambda: away.calls > calls)  # noqa: B023
        house.database.stream_leases.clear()
        running.cancel()
        await asyncio.wait({running})
    assert house.dead == []
    async with house.running():
        await house.tag()
        await house.settled()
    assert house.exits == ["e-1"]


class Away:
    """A `Shard` that never answers."""

    calls = 0

    async def process(self, parts: Sequence[ShardBatch]) -> None:
        self.calls += 1
        raise ServiceUnavailable("it is away")


class Broken:
    """A `Shard` whose breaker is open."""

    calls = 0

    async def process(self, parts: Sequence[ShardBatch]) -> None:
        self.calls += 1
        raise BreakerOpen("100 events in a row could not be processed")


async def test_reading_stops_where_a_shard_processes_nothing_more() -> None:
    house = House()
    await house.enrol("e-1", "ann")
    shard = Broken()
    async with consuming(house, shard) as consumer:
        await until(
            lambda: (
                consumer.not_ready_reason is not None and "in a row" in consumer.not_ready_reason
            )
        )
        assert not consumer.ready
        await house.enrol("e-2", "bob")
    assert shard.calls == 1
    assert house.unacknowledged == 2
    assert house.dead == []


class Deadly:
    """A `Shard` that dies of everything."""

    async def process(self, parts: Sequence[ShardBatch]) -> None:
        raise ShardDied("it died")


async def test_a_release_that_dies_of_every_event_buries_a_hundred_and_stops() -> None:
    house = House(clock=Hasty())
    for number in range(120):
        await send_fatal(house, f"c-{number}", tenant=f"tenant-{number % 2}")
    async with consuming(house, Deadly()) as consumer:
        await until(
            lambda: (
                consumer.not_ready_reason is not None and "in a row" in consumer.not_ready_reason
            )
        )
    assert len(house.dead) == 99
    assert house.unacknowledged > 0


async def test_one_tenants_fatal_events_do_not_stop_the_others() -> None:
    house = House(clock=Hasty())
    for number in range(120):
        await send_fatal(house, f"c-{number}")
    async with consuming(house, Deadly()):
        await settled(house)
    assert len(house.dead) == 120


class Hasty(SystemClock):
    """The machine's clock, but for sleeping."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.001))


async def test_who_is_alone_at_a_shard_waits_for_the_others_and_has_nobody_beside() -> None:
    solitude = Isolation()
    may_leave = asyncio.Event()
    order: list[str] = []

    async def work(name: str, *, alone: bool) -> None:
        async with solitude.work(exclusive=alone):
            order.append(name)
            await may_leave.wait()
            order.append(f"{name} left")

    first = asyncio.ensure_future(work("first", alone=False))
    await asyncio.sleep(0)
    lonely = asyncio.ensure_future(work("lonely", alone=True))
    await asyncio.sleep(0)
    for alone in (True, False):
        try:
            await work("late", alone=alone)
        except ServiceUnavailable:
            order.append("refused")
    may_leave.set()
    await asyncio.gather(first, lonely)
    await work("later", alone=False)
    assert order == [
        *("first", "refused", "refused", "first left"),
        *("lonely", "lonely left", "later", "later left"),
    ]
