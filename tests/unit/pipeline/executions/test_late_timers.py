"""No timer fires before an event that Redis received before it was due (X6)."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry
from tests.support.pipeline.in_memory_pipeline import STREAM
from tests.support.pipeline.workflows import WorkflowPipeline

from goald.adapters.clock import SystemClock
from goald.client import event
from goald.domain.definitions.steps import (
    ActionStep,
    DurationWait,
    EventPattern,
    WorkflowDefinition,
)
from goald.metrics.pipeline import ShardMetrics
from goald.pipeline.context import PipelineContext
from goald.pipeline.executions import watermark
from goald.pipeline.executions.watermark import Watermark
from goald.pipeline.poison.breaker import BREAKER_EVENTS, CircuitBreaker
from goald.pipeline.shard.admission import Admission
from goald.pipeline.shard.group import DeferredEvents
from goald.pipeline.shard.turns import Turns
from goald.pipeline.shard_batch import Processed, Shard, ShardBatch, StreamMark
from goald.runtime.processes.shard import ShardProcess
from goald.settings import ReadSettings

WAIT_US = 400_000
BEYOND_SECONDS = 0.8
"""When the wait has ended, and marks after its end have reached the shard."""


class SlowShard:
    """A shard whose calls with batches can be held, before it gets them or before their reply.
    Marks reach it immediately."""

    def __init__(self, shard: Shard) -> None:
        self._shard = shard
        self.may_call = asyncio.Event()
        self.may_reply = asyncio.Event()
        self.may_call.set()
        self.may_reply.set()
        self.processed = 0
        self.loses_marks = False

    async def process(self, batches: Sequence[ShardBatch]) -> Processed:
        await self.may_call.wait()
        processed = await self._shard.process(batches)
        self.processed += len(batches)
        await self.may_reply.wait()
        return processed

    def reply_once(self) -> None:
        """Send the replies that are held, and hold later ones."""
        self.may_reply.set()
        self.may_reply.clear()

    async def mark(self, marks: Sequence[StreamMark]) -> bool:
        return True if self.loses_marks else await self._shard.mark(marks)


class Sleeping(WorkflowPipeline):
    """A pipeline with an execution that waits."""

    @asynccontextmanager
    async def slow(self) -> AsyncIterator[SlowShard]:
        async with self.idle() as (slow, _):
            await self.sleep()
            yield slow

    async def sleep(self) -> None:
        await self.send("form.submitted", form_id="signup")
        await self.until(lambda: [each.state for each in self.executions] == ["sleeping"])
        await self.all_acknowledged()

    @asynccontextmanager
    async def idle(self) -> AsyncIterator[tuple[SlowShard, ShardProcess]]:
        self.configure()
        steps = DurationWait("pause", WAIT_US), ActionStep("late", "noop", {})
        trigger = EventPattern("form_submitted", {"form_id": "signup"})
        self.publish(WorkflowDefinition(steps, trigger=trigger))
        shard: ShardProcess = self.shard()
        slow = SlowShard(shard)
        consumer = self.consumer(slow)
        running = [asyncio.ensure_future(shard.run()), asyncio.ensure_future(consumer.run())]
        try:
            await self.until(lambda: shard.ready and consumer.ready)
            yield slow, shard
        finally:
            for task in running:
                task.cancel()
            await asyncio.wait(running)

    async def assert_exits_without_the_late_step(self, slow: SlowShard) -> None:
        await asyncio.sleep(BEYOND_SECONDS)
        assert [each.state for each in self.executions] == ["sleeping"]
        slow.may_call.set()
        slow.may_reply.set()
        await self.until(lambda: bool(self.exits))
        assert [each.reason for each in self.executions] == ["goal_achieved"]
        assert await self.jobs() == []


async def test_a_timer_waits_for_an_event_on_its_way_to_the_shard() -> None:
    pipeline = Sleeping()
    async with pipeline.slow() as slow:
        slow.may_call.clear()
        await pipeline.tag()
        await pipeline.assert_exits_without_the_late_step(slow)


async def test_a_timer_waits_for_an_event_that_was_read_and_not_dispatched() -> None:
    """The window of the consumer is full."""
    read = ReadSettings(entries=100, bytes=1 << 20, in_flight_bytes=1, pause=0)
    pipeline = Sleeping(read=read)
    async with pipeline.slow() as slow:
        slow.may_reply.clear()
        before = slow.processed
        await pipeline.tag("Prospect")
        await pipeline.until(lambda: slow.processed == before + 1)
        await pipeline.tag("Lead")
        await asyncio.sleep(0.05)  # until it was read, and waits for room
        await pipeline.tag()
        await asyncio.sleep(BEYOND_SECONDS)
        slow.reply_once()
        await pipeline.until(lambda: slow.processed == before + 2)
        await pipeline.assert_exits_without_the_late_step(slow)


async def test_a_shard_is_not_ready_while_timers_wait_for_marks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watermark, "MARK_SECONDS", 0.2)
    pipeline = Sleeping()
    async with pipeline.idle() as (slow, shard):
        slow.loses_marks = True
        await asyncio.sleep(0.5)
        assert shard.ready  # no timer is held
        await pipeline.sleep()
        await pipeline.until(lambda: not shard.ready)
        reason = str(shard.not_ready_reason)
        assert reason.startswith(f"timers wait for {STREAM}, read ")
        await pipeline.until(lambda: pipeline.measured("goald_timers_held") == 1)
        slow.loses_marks = False
        await pipeline.until(lambda: [each.state for each in pipeline.executions] == ["running"])
        assert shard.ready


async def test_no_timer_fires_while_the_circuit_breaker_is_open() -> None:
    pipeline = Sleeping()
    async with pipeline.idle() as (_, shard):
        await pipeline.sleep()
        contacts = [f"c-{number}" for number in range(BREAKER_EVENTS)]
        pipeline.database.refused_contacts = set(contacts)
        for number, contact in enumerate(contacts):
            ids = {"workflow_id": "w", "enrollment_id": f"e-{contact}"}
            start = event("workflow.enrollment.started", f"t-{number % 2}", contact, ids)
            await pipeline.streams.add(STREAM, [b"event", json.dumps(start).encode()])
        await pipeline.until(lambda: "of several tenants" in str(shard.not_ready_reason))
        later_ms = pipeline.clock.now_us() // 1_000 + WAIT_US
        await shard.mark([StreamMark(STREAM, 99, 0, 0, later_ms)])
        await asyncio.sleep(BEYOND_SECONDS)
        assert [each.state for each in pipeline.executions] == ["sleeping"]
        assert pipeline.database.slot_leases  # the shard has not ended


async def test_a_timer_waits_for_the_deferred_events_of_a_batch() -> None:
    clock = SystemClock()
    context = PipelineContext.create(clock, ShardMetrics(CollectorRegistry()))
    marks, turns = Watermark(clock, [STREAM]), Turns(1 << 20)
    admission = Admission(context, CircuitBreaker(context.metrics.breaker_open), turns, marks)
    batch = ShardBatch(STREAM, 1, 0, 0, b"events", may_be_deferred=True)

    async def adopted(_: bytes) -> None:
        """Nothing was merged."""

    call = asyncio.ensure_future(admission.process([batch], adopted))
    group = await admission.next()
    marks.mark(StreamMark(STREAM, 1, 1, 0, 100))
    (completion,) = group.completions
    completion.add_piece()
    turns.defer(group, [DeferredEvents("acme", batch, completion)], processed=0)
    group.done()
    assert (await call).deferred == [0]
    assert marks.value_ms() is None
    (await admission.next()).done()
    await asyncio.sleep(0)
    assert marks.value_ms() == 100
