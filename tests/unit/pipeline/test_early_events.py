"""Events that arrive before the enrollment they are for (E7)."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from tests.support.pipeline.in_memory_pipeline import STREAM, InMemoryPipeline
from tests.support.pipeline.recording_shard import GoalShard

from goald import _native
from goald.adapters.memory.clock import ManualClock
from goald.client import event
from goald.domain.errors import CommitUnknown, ServiceUnavailable
from goald.domain.fail_points import FailPoint
from goald.domain.leases import StreamLease
from goald.pipeline.early_events import EarlyEvents
from goald.pipeline.poison.delivery_attempts import MAX_SHARED_ATTEMPTS
from goald.pipeline.shard.group import Group
from goald.pipeline.shard_batch import Processed, ShardBatch
from goald.runtime.processes.shard import ShardProcess

LONG = 30.0
"""Longer than any test here takes."""


def pipeline_with(early_events: float) -> InMemoryPipeline:
    pipeline = InMemoryPipeline(early_events=early_events)
    pipeline.configure()
    return pipeline


async def enroll(pipeline: InMemoryPipeline, seconds: float, enrollment: str = "e-1") -> None:
    """Send an enrollment that started this many seconds ago."""
    started_at = datetime.now(UTC) - timedelta(seconds=seconds)
    await pipeline.send(
        "workflow.enrollment.started",
        workflow_id="w",
        enrollment_id=enrollment,
        enrolled_at=started_at.isoformat(),
    )


async def test_event_that_arrives_before_its_enrollment_ends_it() -> None:
    pipeline = pipeline_with(LONG)
    async with pipeline.running():
        await pipeline.tag()
        await pipeline.until(lambda: evaluated(pipeline) == 1)
        await enroll(pipeline, 60)
        await pipeline.until(lambda: pipeline.exits == ["e-1"])
    assert pipeline.status() == "completed_goal"
    assert len(pipeline.database.achievements) == 1


async def test_isolated_delivery_does_not_wait_for_unacknowledged_early_events() -> None:
    """Otherwise a consumer in a crash loop would process one event per hold time."""
    pipeline = pipeline_with(LONG)
    stream = pipeline.open_stream(STREAM)
    await stream.fence(StreamLease(STREAM, 0, "a dead consumer"))
    for _ in range(MAX_SHARED_ATTEMPTS):
        await stream.count_start()
    for number in range(4):
        await enroll(pipeline, 60, f"e-{number}")
    await pipeline.tag()
    async with pipeline.running():
        await pipeline.until(lambda: len(pipeline.exits) == 4)
        assert pipeline.unacknowledged == 5


async def test_event_is_not_acknowledged_before_its_hold_time_is_over() -> None:
    pipeline = pipeline_with(2)
    passed: list[FailPoint] = []
    pipeline.fail_point = passed.append
    async with pipeline.running():
        await pipeline.tag()
        await pipeline.until(lambda: FailPoint.DONE in passed)
        assert pipeline.unacknowledged == 1
        await pipeline.all_acknowledged()


async def test_event_older_than_the_enrollment_does_not_count() -> None:
    pipeline = pipeline_with(LONG)
    async with pipeline.running():
        await pipeline.tag()
        await pipeline.until(lambda: evaluated(pipeline) == 1)
        await enroll(pipeline, -60)
        await enroll(pipeline, 60, "e-2")
        await pipeline.until(lambda: pipeline.exits == ["e-2"])
    assert pipeline.status() == "active"


async def test_events_are_not_held_if_the_feature_is_off() -> None:
    pipeline = pipeline_with(0)
    async with pipeline.running():
        await pipeline.tag()
        await pipeline.all_acknowledged()
        await enroll(pipeline, 60)
        await pipeline.all_acknowledged()
    assert pipeline.exits == []


async def test_early_events_are_evaluated_after_an_unknown_commit_of_the_enrollment() -> None:
    pipeline = pipeline_with(LONG)
    async with pipeline.running():
        await pipeline.tag()
        await pipeline.until(lambda: evaluated(pipeline) == 1)
        pipeline.store.after_commit = [CommitUnknown("the reply was lost")]
        await enroll(pipeline, 60)
        await pipeline.until(lambda: pipeline.exits == ["e-1"])


async def test_stop_does_not_wait_and_held_events_are_read_again() -> None:
    pipeline = pipeline_with(LONG)
    async with pipeline.running():
        await pipeline.tag()
        await pipeline.until(lambda: evaluated(pipeline) == 1)
    assert pipeline.unacknowledged == 1
    async with pipeline.running():
        await enroll(pipeline, 60)
        await pipeline.until(lambda: pipeline.exits == ["e-1"])


class ReplaceableShard(GoalShard):
    """A `Shard` whose process can be killed and replaced."""

    def __init__(self, pipeline: InMemoryPipeline) -> None:
        self._pipeline = pipeline
        self.shard: ShardProcess | None = None
        self.task: asyncio.Task[None] | None = None

    async def process(self, batches: Sequence[ShardBatch]) -> Processed:
        if self.shard is None:
            raise ServiceUnavailable("no shard is running")
        return await self.shard.process(batches)

    async def start(self) -> None:
        shard = self._pipeline.shard()
        self.task = asyncio.ensure_future(shard.run())
        await self._pipeline.until(lambda: shard.ready)
        self.shard = shard

    async def end(self) -> None:
        self.shard = None
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait({self.task})


async def test_restarted_shard_receives_the_held_events_again() -> None:
    pipeline = pipeline_with(LONG)
    shard = ReplaceableShard(pipeline)
    await shard.start()
    consumer = pipeline.consumer(shard)
    reading = asyncio.ensure_future(consumer.run())
    try:
        await pipeline.tag()
        await pipeline.until(lambda: evaluated(pipeline) == 1)
        await shard.end()
        await shard.start()
        await enroll(pipeline, 60)
        await pipeline.until(lambda: pipeline.exits == ["e-1"])
    finally:
        reading.cancel()
        await asyncio.wait({reading})
        await shard.end()


def keep(early: EarlyEvents, number: int) -> None:
    """Keep an event of a contact without other events."""
    tagged = event("contact.tag.added", "acme", f"c-{number}", {"tag_name": "Customer"})
    entry = [f"{number}-0".encode(), [b"event", json.dumps(tagged).encode()]]
    ((_, buffer, _),) = _native.Router(bytes(256)).route([entry]).buffers
    early.keep(Group([ShardBatch(STREAM, 1, number, 0, buffer)], ()))


def kept(early: EarlyEvents, *contacts: str) -> list[bytes]:
    """Return the ids of the kept entries of these contacts."""
    group = early.of([("acme", contact) for contact in contacts])
    batches = group.batches if group is not None else ()
    return [_native.buffer_entries(batch.buffer)[0][0] for batch in batches]


def test_oldest_events_are_dropped_beyond_the_limit() -> None:
    early = EarlyEvents(LONG, ManualClock(round(datetime.now(UTC).timestamp() * 1e6)), limit=3)
    for number in range(5):
        keep(early, number)
    assert len(early) == 3
    assert kept(early, "c-1") == []
    assert kept(early, "c-2", "c-4") == [b"2-0", b"4-0"]


async def test_event_is_dropped_when_its_hold_time_is_over() -> None:
    clock = ManualClock(round(datetime.now(UTC).timestamp() * 1e6))
    early = EarlyEvents(2.0, clock)
    keep(early, 1)
    await clock.advance(1)
    keep(early, 2)
    assert kept(early, "c-1", "c-2") == [b"1-0", b"2-0"]
    await clock.advance(1)
    assert kept(early, "c-1", "c-2") == [b"2-0"]
    assert len(early) == 1


def evaluated(pipeline: InMemoryPipeline) -> int:
    """Return how many tag events the shard has evaluated, from its heartbeat."""
    heartbeat = pipeline.process_registry.heartbeats.get("shard:0")
    samples = (s for family in (heartbeat.metrics if heartbeat else ()) for s in family["samples"])
    return sum(
        int(value)
        for name, labels, value in samples
        if name == "goald_events_evaluated_total" and labels["type"] == "contact.tag.added"
    )
