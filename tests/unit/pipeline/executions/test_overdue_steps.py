"""Steps that became due while their workflow was inactive (X7)."""

import asyncio

import pytest
from tests.support.pipeline.workflows import ShiftedClock, WorkflowPipeline, next_job

from goald.adapters.memory.streams import MemoryStreams
from goald.domain.configuration.workflows import Overdue
from goald.domain.definitions.steps import (
    ActionStep,
    DurationWait,
    EventPattern,
    WorkflowDefinition,
)
from goald.pipeline.executions.shard import TICK_SECONDS
from goald.pipeline.shard.missed.pages import MissedPages, MissedReplay
from goald.ports.shard_store import MissedPage
from goald.redis_keys import CONTROL

HOUR_US = 3_600_000_000
STEPS = (
    DurationWait("pause", HOUR_US),
    ActionStep("first", "noop", {}),
    ActionStep("second", "noop", {}),
)
SIGNUP = EventPattern("form_submitted", {"form_id": "signup"})


async def change(
    pipeline: WorkflowPipeline,
    version: int,
    *,
    active: bool,
    overdue: Overdue = "run",
    exits_missed: bool = False,
) -> None:
    """Activate or deactivate the workflow, and wait until the shard has loaded it."""
    pipeline.configure(version=version, active=active, exits_missed=exits_missed)
    ((_, row),) = pipeline.database.workflows
    if active:
        row["overdue"], row["activated_at_ms"] = overdue, pipeline.clock.now_us() // 1_000
    await pipeline.streams.add(CONTROL, [b"event", b"{}"])
    await pipeline.until(lambda: version in pipeline.database.config_versions.values())


async def paused(pipeline: WorkflowPipeline) -> None:
    """Start an execution, deactivate its workflow, and wait until its step is overdue."""
    await pipeline.send("form.submitted", form_id="signup")
    await pipeline.until(lambda: [each.state for each in pipeline.executions] == ["sleeping"])
    await change(pipeline, 2, active=False)
    pass_hours(pipeline)


def pass_hours(pipeline: WorkflowPipeline) -> None:
    assert isinstance(pipeline.clock, ShiftedClock)
    pipeline.clock.shift_us += 2 * HOUR_US


def configured() -> WorkflowPipeline:
    clock = ShiftedClock()
    pipeline = WorkflowPipeline(streams=MemoryStreams(clock), clock=clock)
    pipeline.configure()
    pipeline.publish(WorkflowDefinition(STEPS, trigger=SIGNUP))
    return pipeline


@pytest.mark.parametrize(("overdue", "step"), [("run", "first"), ("skip", "second")])
async def test_overdue_steps_start_or_are_skipped(overdue: Overdue, step: str) -> None:
    pipeline = configured()
    async with pipeline.running():
        await paused(pipeline)
        await change(pipeline, 3, active=True, overdue=overdue)
        _, job = await next_job(pipeline)
        assert job.step_id == step
        events = {row.event_type for row in pipeline.database.of_executions.logs}
        assert ("skipped_expired" in events) == (overdue == "skip")


async def test_executions_with_overdue_steps_are_cancelled() -> None:
    pipeline = configured()
    async with pipeline.running():
        await paused(pipeline)
        await change(pipeline, 3, active=True, overdue="cancel")
        await pipeline.until(lambda: pipeline.executions[0].status == "CANCELLED")
        await pipeline.send("form.submitted", "bob", form_id="signup")  # is not overdue
        await pipeline.until(lambda: [e.state for e in pipeline.executions][1:] == ["sleeping"])
        pass_hours(pipeline)
        _, job = await next_job(pipeline)
        assert (job.contact_id, job.step_id) == ("bob", "first")


@pytest.fixture
def slow_replays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several times timers are looked for before a page of missed events is read."""
    read = MissedPages.read

    async def read_late(self: MissedPages, replay: MissedReplay) -> MissedPage | None:
        await asyncio.sleep(6 * TICK_SECONDS)
        return await read(self, replay)

    monkeypatch.setattr(MissedPages, "read", read_late)


@pytest.mark.usefixtures("slow_replays")
async def test_missed_exits_precede_overdue_steps() -> None:
    pipeline = configured()
    async with pipeline.running():
        await paused(pipeline)
        await pipeline.tag()
        await pipeline.all_acknowledged()
        await change(pipeline, 3, active=True, exits_missed=True)
        await pipeline.until(lambda: bool(pipeline.exits))
        assert pipeline.executions[0].reason == "goal_achieved"
        await pipeline.send("form.submitted", "bob", form_id="signup")
        await pipeline.until(lambda: [e.state for e in pipeline.executions][1:] == ["sleeping"])
        pass_hours(pipeline)
        _, job = await next_job(pipeline)
        assert job.contact_id == "bob"
    assert pipeline.executions[0].attempt == 0


@pytest.mark.usefixtures("slow_replays")
async def test_missed_exits_precede_overdue_steps_after_a_restart() -> None:
    pipeline = configured()
    async with pipeline.running():
        await paused(pipeline)
        await pipeline.tag()
        await pipeline.all_acknowledged()
    pipeline.configure(version=3, exits_missed=True)
    async with pipeline.running():
        await pipeline.until(lambda: bool(pipeline.exits))
        assert await pipeline.jobs() == []
    assert (pipeline.executions[0].reason, pipeline.executions[0].attempt) == ("goal_achieved", 0)
