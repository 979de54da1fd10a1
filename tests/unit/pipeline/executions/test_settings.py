"""Shards follow the settings of tenants without a restart, and those of goald."""

from tests.support.pipeline.workflows import WorkflowPipeline, next_job

from goald.domain.actions.outcomes import Outcome, OutcomeKind
from goald.domain.definitions.steps import ActionStep, EventPattern, WorkflowDefinition
from goald.ports.configuration import ExecutionSettings
from goald.redis_keys import CONTROL

STEPS = (ActionStep("first", "noop", {}), ActionStep("second", "noop", {}))
SIGNUP = EventPattern("form_submitted", {"form_id": "signup"})
TOKEN = b"0123456789abcdef"
FAILED = Outcome(OutcomeKind.RETRY, error="503")


def configured() -> WorkflowPipeline:
    pipeline = WorkflowPipeline()
    pipeline.configure()
    pipeline.publish(WorkflowDefinition(STEPS, trigger=SIGNUP))
    return pipeline


async def set_(pipeline: WorkflowPipeline, settings: ExecutionSettings, version: int) -> None:
    """Change the settings of the tenant, and wait until the shard has loaded them."""
    pipeline.configure(version=version)
    ((_, row),) = pipeline.database.workflows
    row["executions"] = settings
    await pipeline.streams.add(CONTROL, [b"event", b"{}"])
    await pipeline.until(lambda: version in pipeline.database.config_versions.values())


async def fail(pipeline: WorkflowPipeline) -> None:
    received, job = await next_job(pipeline)
    await pipeline.pass_gate(job, TOKEN)
    await pipeline.finish(received, job, TOKEN, FAILED)


async def test_a_limit_that_rises_lets_others_run() -> None:
    pipeline = configured()
    async with pipeline.running():
        await set_(pipeline, ExecutionSettings(concurrent_executions_per_account=1), 2)
        for contact in ("ann", "bob", "cas"):
            await pipeline.send("form.submitted", contact, form_id="signup")
        await pipeline.until(lambda: len(pipeline.executions) == 3)
        await pipeline.until(lambda: len(pipeline.actions.permits) == 1)
        await set_(pipeline, ExecutionSettings(concurrent_executions_per_account=2), 3)
        await pipeline.until(lambda: len(pipeline.actions.permits) == 2)
        await pipeline.all_acknowledged()
        assert sorted(each.status for each in pipeline.executions).count("QUEUED") == 1


async def test_a_tenant_decides_how_often_and_when_actions_are_retried() -> None:
    pipeline = configured()
    pipeline.retry_base = 3_600.0
    settings = ExecutionSettings(max_retry_attempts=1, retry_base_delay_seconds=0.01)
    async with pipeline.running():
        await set_(pipeline, settings, 2)
        await pipeline.send("form.submitted", form_id="signup")
        await fail(pipeline)
        await fail(pipeline)
        await pipeline.until(lambda: pipeline.executions[0].status == "FAILED")
        await set_(pipeline, settings._replace(max_retry_attempts=0), 3)
        await pipeline.send("form.submitted", "bob", form_id="signup")
        await fail(pipeline)
        await pipeline.until(lambda: pipeline.executions[1].status == "FAILED")


async def test_goald_has_a_delay_for_tenants_without_one() -> None:
    pipeline = configured()
    pipeline.retry_base = 0.01
    async with pipeline.running():
        await pipeline.send("form.submitted", form_id="signup")
        await fail(pipeline)
        _, job = await next_job(pipeline)
        assert (job.step_id, job.attempt) == ("first", 2)


async def test_unknown_contacts_start_nothing_if_consent_is_required() -> None:
    pipeline = configured()
    pipeline.requires_opt_in = True
    async with pipeline.running():
        await pipeline.send("form.submitted", form_id="signup")
        await pipeline.send("contact.updated", "bob", opted_in=True)
        await pipeline.send("form.submitted", "bob", form_id="signup")
        _, job = await next_job(pipeline)
        assert job.contact_id == "bob"
    assert len(pipeline.executions) == 1
