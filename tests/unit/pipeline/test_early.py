"""Events that reach goald before the enrollment that they are for (E7)."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from tests.support.pipeline.in_memory_pipeline import STREAM, House

from goald import _native
from goald.adapters.memory.clock import ManualClock
from goald.client import event
from goald.domain.errors import CommitUnknown, ServiceUnavailable
from goald.domain.fail_points import FailPoint
from goald.domain.leases import StreamLease
from goald.pipeline.early_events import EarlyEvents
from goald.pipeline.poison.delivery_attempts import MAX_SHARED_ATTEMPTS
from goald.pipeline.shard.group import Group
from goald.pipeline.shard_batch import ShardBatch
from goald.runtime.processes.shard import ShardProcess

LONG = 30.0
"""Longer than any of these tests."""


def house(early_events: float) -> House:
    made = House(early_events=early_events)
    made.configure()
    return made


async def enrol(at: House, seconds: float, enrollment: str = "e-1") -> None:
    """An enrollment that began so long before now."""
    began = datetime.now(UTC) - timedelta(seconds=seconds)
    await at.send(
        "workflow.enrollment.started",
        workflow_id="w",
        enrollment_id=enrollment,
        enrolled_at=began.isoformat(),
    )


async def test_event_that_came_before_its_enrollment_ends_it() -> None:
    at = house(LONG)
    async with at.running():
        await at.tag()
        await at.until(lambda: read(at) == 1)
        await enrol(at, 60)
        await at.until(lambda: at.exits == ["e-1"])
    assert at.status() == "completed_goal"
    assert len(at.database.achievements) == 1


async def test_a_consumer_that_goes_entry_by_entry_does_not_wait_for_what_is_held() -> None:
    """Else four starts within that time make a stream of one event in so many seconds."""
    at = house(LONG)
    stream = at.open_stream(STREAM)
    await stream.fence(StreamLease(STREAM, 0, "who died"))
    for _ in range(MAX_SHARED_ATTEMPTS):
        await stream.count_start()
    for number in range(4):
        await enrol(at, 60, f"e-{number}")
    await at.tag()
    async with at.running():
        await at.until(lambda: len(at.exits) == 4)
        assert at.unacknowledged == 5


async def test_what_is_held_is_not_acknowledged_before_its_time() -> None:
    at = house(2)
    steps: list[FailPoint] = []
    at.fail_point = steps.append
    async with at.running():
        await at.tag()
        await at.until(lambda: FailPoint.DONE in steps)
        assert at.unacknowledged == 1
        await at.settled()


async def test_event_before_the_enrollment_began_does_not_count() -> None:
    at = house(LONG)
    async with at.running():
        await at.tag()
        await at.until(lambda: read(at) == 1)
        await enrol(at, -60)
        await enrol(at, 60, "e-2")
        await at.until(lambda: at.exits == ["e-2"])
    assert at.status() == "active"


async def test_nothing_waits_where_it_is_off() -> None:
    at = house(0)
    async with at.running():
        await at.tag()
        await at.settled()
        await enrol(at, 60)
        await at.settled()
    assert at.exits == []


async def test_enrollment_whose_commit_was_in_doubt_meets_what_waited_for_it() -> None:
    at = house(LONG)
    async with at.running():
        await at.tag()
        await at.until(lambda: read(at) == 1)
        at.store.after_commit = [CommitUnknown("the reply was lost")]
        await enrol(at, 60)
        await at.until(lambda: at.exits == ["e-1"])


async def test_stop_does_not_wait_and_the_next_start_reads_again_what_was_held() -> None:
    at = house(LONG)
    async with at.running():
        await at.tag()
        await at.until(lambda: read(at) == 1)
    assert at.unacknowledged == 1
    async with at.running():
        await enrol(at, 60)
        await at.until(lambda: at.exits == ["e-1"])


class Replaced:
    """A shard that can be ended, and another started in its place. A `Shard`."""

    def __init__(self, at: House) -> None:
        self._house = at
        self.now: ShardProcess | None = None
        self.task: asyncio.Task[None] | None = None

    async def process(self, parts: Sequence[ShardBatch]) -> None:
        if self.now is None:
            raise ServiceUnavailable("there is no shard")
        await self.now.process(parts)

    async def start(self) -> None:
        shard = self._house.shard()
        self.task = asyncio.ensure_future(shard.run())
        await self._house.until(lambda: shard.ready)
        self.now = shard

    async def end(self) -> None:
        self.now = None
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait({self.task})


async def test_shard_that_started_anew_is_told_again_what_its_predecessor_held() -> None:
    at = house(LONG)
    shard = Replaced(at)
    await shard.start()
    consumer = at.consumer(shard)
    reading = asyncio.ensure_future(consumer.run())
    try:
        await at.tag()
        await at.until(lambda: read(at) == 1)
        await shard.end()
        await shard.start()
        await enrol(at, 60)
        await at.until(lambda: at.exits == ["e-1"])
    finally:
        reading.cancel()
        await asyncio.wait({reading})
        await shard.end()


def hold(early: EarlyEvents, number: int) -> None:
    """An event of a contact of its own."""
    tagged = event("contact.tag.added", "acme", f"c-{number}", {"tag_name": "Customer"})
    entry = [f"{number}-0".encode(), [b"event", json.dumps(tagged).encode()]]
    ((_, buffer, _),) = _native.Router(bytes(256)).route([entry]).buffers
    early.keep(Group([ShardBatch(STREAM, 1, number, 0, buffer)], ()))


def kept(early: EarlyEvents, *contacts: str) -> list[bytes]:
    """The ids of the entries that are kept of these."""
    group = early.of([("acme", contact) for contact in contacts])
    parts = group.batches if group is not None else ()
    return [_native.buffer_entries(part.buffer)[0][0] for part in parts]


def test_oldest_are_let_go_where_there_are_too_many() -> None:
    early = EarlyEvents(LONG, ManualClock(round(datetime.now(UTC).timestamp() * 1e6)), limit=3)
    for number in range(5):
        hold(early, number)
    assert len(early) == 3
    assert kept(early, "c-1") == []
    assert kept(early, "c-2", "c-4") == [b"2-0", b"4-0"]


async def test_event_whose_time_is_over_is_let_go() -> None:
    clock = ManualClock(round(datetime.now(UTC).timestamp() * 1e6))
    early = EarlyEvents(2.0, clock)
    hold(early, 1)
    await clock.advance(1)
    hold(early, 2)
    assert kept(early, "c-1", "c-2") == [b"1-0", b"2-0"]
    await clock.advance(1)
    assert kept(early, "c-1", "c-2") == [b"2-0"]
    assert len(early) == 1


def read(at: House) -> int:
    """How many tags the shard has evaluated, as its heartbeat says."""
    beat = at.board.beats.get("shard:0")
    samples = (s for family in (beat.metrics if beat else ()) for s in family["samples"])
    return sum(
        int(value)
        for name, labels, value in samples
        if name == "goald_events_evaluated_total" and labels["type"] == "contact.tag.added"
    )
