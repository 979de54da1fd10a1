"""Versions of a workflow that are published while a shard runs (X10)."""

from tests.support.pipeline.workflows import WorkflowPipeline, next_job

from goald.domain.definitions.steps import ActionStep, EventPattern, WorkflowDefinition
from goald.domain.slots import SlotRange, slot_of
from goald.redis_keys import CONTROL

TOKEN = b"0123456789abcdef"
SIGNUP = EventPattern("form_submitted", {"form_id": "signup"})


def steps(*ids: str) -> WorkflowDefinition:
    return WorkflowDefinition(tuple(ActionStep(id_, "noop", {}) for id_ in ids), trigger=SIGNUP)


async def perform(pipeline: WorkflowPipeline) -> str:
    """Perform the next job. Returns its step."""
    received, job = await next_job(pipeline)
    await pipeline.pass_gate(job, TOKEN)
    await pipeline.finish(received, job, TOKEN)
    return job.step_id


async def publish(pipeline: WorkflowPipeline, version: int, *ids: str) -> None:
    pipeline.publish(steps(*ids), version=version)
    await pipeline.reconfigure(version=version)
    await pipeline.until(lambda: version in pipeline.database.config_versions.values())


async def test_executions_stay_at_the_version_with_which_they_started() -> None:
    pipeline = WorkflowPipeline()
    pipeline.configure()
    pipeline.publish(steps("a", "b"))
    async with pipeline.running():
        await pipeline.send("form.submitted", form_id="signup")
        assert await perform(pipeline) == "a"
        await publish(pipeline, 2, "x", "y")
        await publish(pipeline, 3, "z")
        assert await perform(pipeline) == "b"
        await pipeline.until(lambda: pipeline.executions[0].reason == "finished")
        assert pipeline.executions[0].version == 1
        await pipeline.send("form.submitted", "bob", form_id="signup")
        assert await perform(pipeline) == "z"
        assert pipeline.executions[1].version == 3


async def test_the_first_version_may_be_published_while_the_shard_runs() -> None:
    pipeline = WorkflowPipeline()
    pipeline.configure()
    async with pipeline.running():
        await publish(pipeline, 2, "a")
        await pipeline.send("form.submitted", form_id="signup")
        assert await perform(pipeline) == "a"


async def test_an_execution_that_moves_to_another_shard_keeps_its_version() -> None:
    low, high = SlotRange(0, 127), SlotRange(128, 255)
    names = [f"c-{number}" for number in range(20)]
    into = next(name for name in names if slot_of("acme", name) <= low.last)
    merged = next(name for name in names if slot_of("acme", name) > low.last)
    pipeline = WorkflowPipeline()
    pipeline.configure()
    pipeline.publish(steps("a", "b"))
    async with pipeline.running(low, high):
        await pipeline.send("form.submitted", merged, form_id="signup")
        received, job = await next_job(pipeline)
        await publish(pipeline, 2, "x")  # the other shard has no execution of the first version
        await pipeline.send("contact.merged", merged, into_contact_id=into)
        await pipeline.all_acknowledged()
        await pipeline.pass_gate(job, TOKEN)
        await pipeline.finish(received, job, TOKEN)
        assert await perform(pipeline) == "b"
        await pipeline.until(lambda: pipeline.executions[0].reason == "finished")


async def test_a_deleted_workflow_starts_nothing() -> None:
    pipeline = WorkflowPipeline()
    pipeline.configure()
    pipeline.publish(steps("a"))
    async with pipeline.running():
        pipeline.database.workflows.clear()
        pipeline.database.of_executions.definitions.clear()
        pipeline.database.deleted_workflows.append((2, ("acme", "w")))
        await pipeline.streams.add(CONTROL, [b"event", b"{}"])
        await pipeline.until(lambda: 2 in pipeline.database.config_versions.values())
        await pipeline.send("form.submitted", form_id="signup")
        await pipeline.all_acknowledged()
    assert not pipeline.executions
