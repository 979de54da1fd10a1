"""An event that kills a process each time is dead-lettered, and no other event is (D4)."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager

from tests.support.pipeline.in_memory_pipeline import STREAM, InMemoryPipeline
from tests.support.pipeline.recording_shard import GoalShard

from goald import _native
from goald.adapters.clock import SystemClock
from goald.adapters.memory.streams import MemoryEventStream
from goald.client import event
from goald.domain.errors import BreakerOpen, ServiceUnavailable, ShardDied
from goald.domain.fail_points import FailPoint
from goald.pipeline.poison.isolation import Isolation
from goald.pipeline.shard.evaluate import Evaluator, Repeats
from goald.pipeline.shard.group import Group
from goald.pipeline.shard.known.contacts import KnownContacts
from goald.pipeline.shard.known.ended import KnownEnded
from goald.pipeline.shard_batch import Processed, Shard, ShardBatch
from goald.ports.event_stream import EventStream, RawEntry
from goald.ports.shard_store import Excluded
from goald.runtime.processes.consumer import ConsumerProcess

POISON = b"poison"


class Panic(BaseException):
    """Like PyO3's PanicException."""


class PanickingEvaluator(Evaluator):
    """Panics on a poison event, and records what it evaluated."""

    def __init__(self, pipeline: InMemoryPipeline, groups: list[list[bytes]]) -> None:
        super().__init__(pipeline.store, clock_skew_us=0)
        self._groups = groups

    def evaluate(
        self,
        group: Group,
        now_us: int,
        repeats: Repeats = (),
        excluded: Collection[Excluded] = (),
        known: KnownContacts | None = None,
        ended: KnownEnded | None = None,
        executions: Mapping[str, object] | None = None,
    ) -> _native.Proposal:
        events = [event for each in group.buffers for _, event in _native.buffer_entries(each)]
        self._groups.append(events)
        if any(POISON in each for each in events):
            raise Panic
        return super().evaluate(group, now_us, repeats, excluded, known, ended, executions)


class RestartingShard(GoalShard):
    """A `Shard` that restarts whenever it dies."""

    def __init__(self, pipeline: InMemoryPipeline, *, reports_death: bool = True) -> None:
        """`reports_death`: whether callers get ShardDied, or only ServiceUnavailable."""
        self._pipeline = pipeline
        self._reports_death = reports_death
        self.groups: list[list[bytes]] = []
        """The events of each evaluation, in order."""
        self.deaths = 0
        self._start()

    def _start(self) -> None:
        self.shard = self._pipeline.shard(evaluator=PanickingEvaluator(self._pipeline, self.groups))
        self.running = asyncio.ensure_future(self.shard.run())

    async def process(self, batches: Sequence[ShardBatch]) -> Processed:
        running = self.running
        call = asyncio.ensure_future(self.shard.process(batches))
        await asyncio.wait({call, running}, return_when=asyncio.FIRST_COMPLETED)
        if call.done():
            return call.result()
        call.cancel()
        if running is self.running:
            assert isinstance(running.exception(), BaseExceptionGroup)
            self.deaths += 1
            self._start()
        raise (ShardDied if self._reports_death else ServiceUnavailable)("it died")

    async def end(self) -> None:
        self.running.cancel()
        await asyncio.wait({self.running})


@asynccontextmanager
async def consuming(pipeline: InMemoryPipeline, *shards: Shard) -> AsyncIterator[ConsumerProcess]:
    consumer = pipeline.consumer(shards[0])
    running = asyncio.ensure_future(consumer.run())
    try:
        yield consumer
        consumer.stop()
        async with asyncio.timeout(20):
            await running
    finally:
        running.cancel()
        await asyncio.wait({running})


async def send_poison(pipeline: InMemoryPipeline, contact: str, tenant: str = "acme") -> None:
    body = json.dumps(event("contact.tag.added", tenant, contact, {"tag_name": POISON.decode()}))
    await pipeline.streams.add(STREAM, [b"event", body.encode()])


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


async def all_acknowledged(pipeline: InMemoryPipeline) -> None:
    await until(lambda: pipeline.unacknowledged == 0)


async def test_only_the_poison_event_of_a_read_is_dead_lettered() -> None:
    pipeline = InMemoryPipeline()
    pipeline.configure()
    for number in range(90):
        await pipeline.enroll(f"e-{number}", f"c-{number}")
        if number == 40:
            await send_poison(pipeline, "c-40")
        await pipeline.tag(contact=f"c-{number}")
    shard = RestartingShard(pipeline)
    async with consuming(pipeline, shard):
        await all_acknowledged(pipeline)
    await shard.end()
    (dead_letter,) = pipeline.dead_letters
    assert POISON in dead_letter[b"event"]
    assert dead_letter[b"delivery_attempts"] == b"5"
    assert shard.deaths == 5
    assert set(pipeline.exits) == {f"e-{number}" for number in range(90)}


async def test_poison_event_is_delivered_alone_at_its_last_two_attempts() -> None:
    pipeline = InMemoryPipeline()
    pipeline.configure()
    for number in range(20):
        await pipeline.enroll(f"e-{number}", f"c-{number}")
    await send_poison(pipeline, "x")
    shard = RestartingShard(pipeline)
    async with consuming(pipeline, shard):
        await all_acknowledged(pipeline)
    await shard.end()
    poisoned = [group for group in shard.groups if any(POISON in each for each in group)]
    assert [len(group) for group in poisoned[-2:]] == [1, 1]


async def test_no_event_of_a_contact_overtakes_a_suspect_event() -> None:
    pipeline = InMemoryPipeline()
    pipeline.configure()
    await pipeline.enroll("e-1", "ann")
    await send_poison(pipeline, "ann")
    await pipeline.tag(contact="ann")
    shard = RestartingShard(pipeline)
    async with consuming(pipeline, shard):
        await until(lambda: shard.deaths >= 1)
        await pipeline.enroll("e-2", "ann")
        await pipeline.tag(contact="ann")
        await all_acknowledged(pipeline)
    await shard.end()
    died = [any(POISON in each for each in group) for group in shard.groups]
    last = len(died) - 1 - died[::-1].index(True)
    completed = [group for group, dead in zip(shard.groups[:last], died, strict=False) if not dead]
    assert not any(b"Customer" in each for group in completed for each in group)
    assert list(dict.fromkeys(pipeline.exits)) == ["e-1", "e-2"]
    assert len(pipeline.dead_letters) == 1


async def test_several_poison_events_are_all_found() -> None:
    pipeline = InMemoryPipeline()
    pipeline.configure()
    for number in range(30):
        await pipeline.enroll(f"e-{number}", f"c-{number}")
        if number % 10 == 3:
            await send_poison(pipeline, f"c-{number}")
        await pipeline.tag(contact=f"c-{number}")
    shard = RestartingShard(pipeline)
    async with consuming(pipeline, shard):
        await all_acknowledged(pipeline)
    await shard.end()
    assert len(pipeline.dead_letters) == 3
    assert set(pipeline.exits) == {f"e-{number}" for number in range(30)}


async def test_events_in_flight_at_an_unavailable_shard_are_never_dead_lettered() -> None:
    """A shard that loses Postgres ends too, possibly many times."""
    pipeline = InMemoryPipeline()
    pipeline.configure()
    await pipeline.enroll("e-1", "ann")
    await send_poison(pipeline, "bob")
    shard = RestartingShard(pipeline, reports_death=False)
    consumer = pipeline.consumer(shard)
    running = asyncio.ensure_future(consumer.run())
    await until(lambda: shard.deaths >= 7)
    running.cancel()
    await asyncio.wait({running})
    await shard.end()
    assert pipeline.dead_letters == []
    assert pipeline.unacknowledged > 0


class RecordingStream(MemoryEventStream):
    """Records the last read."""

    last_read: Sequence[RawEntry] = ()

    async def read(self, after: bytes, count: int) -> list[RawEntry]:
        entries = await super().read(after, count)
        RecordingStream.last_read = entries
        return entries


class PipelineWithDyingConsumer(InMemoryPipeline):
    """Its consumer dies when it routes a poison event."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.fail_point = self._die_of_poison

    def open_stream(self, name: str) -> EventStream:
        return RecordingStream(self.streams, name)

    @staticmethod
    def _die_of_poison(fail_point: FailPoint) -> None:
        if fail_point is FailPoint.ROUTED and any(
            POISON in entry[1][1] for entry in RecordingStream.last_read
        ):
            raise Panic


async def test_event_that_kills_the_consumer_is_dead_lettered() -> None:
    pipeline = PipelineWithDyingConsumer()
    pipeline.configure()
    for number in range(20):
        await pipeline.enroll(f"e-{number}", f"c-{number}")
        if number == 12:
            await send_poison(pipeline, "x")
        await pipeline.tag(contact=f"c-{number}")
    shard = pipeline.shard()
    shard_running = asyncio.ensure_future(shard.run())
    deaths = 0
    while pipeline.unacknowledged:
        consumer = pipeline.consumer(shard)
        running = asyncio.ensure_future(consumer.run())
        await until(lambda: pipeline.unacknowledged == 0 or running.done())  # noqa: B023
        if running.done():
            assert running.exception() is not None
            deaths += 1
        else:
            consumer.stop()
            await running
    shard.stop()
    await shard_running
    (dead_letter,) = pipeline.dead_letters
    assert POISON in dead_letter[b"event"]
    assert dead_letter[b"delivery_attempts"] == b"5"
    assert deaths <= 9
    assert set(pipeline.exits) == {f"e-{number}" for number in range(20)}


async def test_consumer_that_repeatedly_lost_its_lease_dead_letters_nothing() -> None:
    pipeline = InMemoryPipeline()
    pipeline.configure()
    await pipeline.enroll("e-1", "ann")
    shard = UnavailableShard()
    for _ in range(8):
        consumer = pipeline.consumer(shard)
        running = asyncio.ensure_future(consumer.run())
        calls = shard.calls
        await until(lambda: shard.calls > calls)  # noqa: B023
        pipeline.database.stream_leases.clear()
        running.cancel()
        await asyncio.wait({running})
    assert pipeline.dead_letters == []
    async with pipeline.running():
        await pipeline.tag()
        await pipeline.all_acknowledged()
    assert pipeline.exits == ["e-1"]


class UnavailableShard(GoalShard):
    """A `Shard` that is always unavailable."""

    calls = 0

    async def process(self, batches: Sequence[ShardBatch]) -> Processed:
        self.calls += 1
        raise ServiceUnavailable("unavailable")


class ShardWithOpenBreaker(GoalShard):
    """A `Shard` whose breaker is open."""

    calls = 0

    async def process(self, batches: Sequence[ShardBatch]) -> Processed:
        self.calls += 1
        raise BreakerOpen("100 events in a row could not be processed")


async def test_reading_stops_if_a_shard_has_stopped_processing() -> None:
    pipeline = InMemoryPipeline()
    await pipeline.enroll("e-1", "ann")
    shard = ShardWithOpenBreaker()
    async with consuming(pipeline, shard) as consumer:
        await until(
            lambda: (
                consumer.not_ready_reason is not None and "in a row" in consumer.not_ready_reason
            )
        )
        assert not consumer.ready
        await pipeline.enroll("e-2", "bob")
    assert shard.calls == 1
    assert pipeline.unacknowledged == 2
    assert pipeline.dead_letters == []


class DyingShard(GoalShard):
    """A `Shard` that dies of every event."""

    async def process(self, batches: Sequence[ShardBatch]) -> Processed:
        raise ShardDied("it died")


async def test_release_that_dies_of_every_event_stops_before_the_hundredth_dead_letter() -> None:
    pipeline = InMemoryPipeline(clock=FastClock())
    for number in range(120):
        await send_poison(pipeline, f"c-{number}", tenant=f"tenant-{number % 2}")
    async with consuming(pipeline, DyingShard()) as consumer:
        await until(
            lambda: (
                consumer.not_ready_reason is not None and "in a row" in consumer.not_ready_reason
            )
        )
    assert len(pipeline.dead_letters) == 99
    assert pipeline.unacknowledged > 0


async def test_poison_events_of_one_tenant_do_not_stop_the_consumer() -> None:
    pipeline = InMemoryPipeline(clock=FastClock())
    for number in range(120):
        await send_poison(pipeline, f"c-{number}")
    async with consuming(pipeline, DyingShard()):
        await all_acknowledged(pipeline)
    assert len(pipeline.dead_letters) == 120


class FastClock(SystemClock):
    """The system clock with short sleeps."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.001))


async def test_exclusive_work_waits_for_other_work_and_runs_alone() -> None:
    isolation = Isolation()
    may_leave = asyncio.Event()
    order: list[str] = []

    async def work(name: str, *, exclusive: bool) -> None:
        async with isolation.work(exclusive=exclusive):
            order.append(name)
            await may_leave.wait()
            order.append(f"{name} left")

    first = asyncio.ensure_future(work("first", exclusive=False))
    await asyncio.sleep(0)
    exclusive_task = asyncio.ensure_future(work("exclusive_task", exclusive=True))
    await asyncio.sleep(0)
    for exclusive in (True, False):
        try:
            await work("late", exclusive=exclusive)
        except ServiceUnavailable:
            order.append("refused")
    may_leave.set()
    await asyncio.gather(first, exclusive_task)
    await work("later", exclusive=False)
    assert order == [
        *("first", "refused", "refused", "first left"),
        *("exclusive_task", "exclusive_task left", "later", "later left"),
    ]
