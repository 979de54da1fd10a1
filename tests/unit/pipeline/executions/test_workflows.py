"""A shard runs workflows: triggers, jobs, results, exits, restarts (X1, X2, X8)."""

import asyncio
import os

from tests.support.pipeline.workflows import WorkflowPipeline, next_job

from goald.domain.actions.job import Job
from goald.domain.definitions.steps import (
    ActionStep,
    DurationWait,
    EventPattern,
    WorkflowDefinition,
)
from goald.domain.derived_ids import requested_execution_id
from goald.domain.ids import ContactId, TenantId
from goald.ports.actions.jobs import Passed

FIRST, SECOND = ActionStep("first", "noop", {}), ActionStep("second", "noop", {})
SIGNUP = EventPattern("form_submitted", {"form_id": "signup"})


def two_steps() -> WorkflowDefinition:
    return WorkflowDefinition((FIRST, SECOND), trigger=SIGNUP)


async def started() -> WorkflowPipeline:
    pipeline = WorkflowPipeline()
    pipeline.configure()
    pipeline.publish(two_steps())
    return pipeline


async def test_a_workflow_runs_from_its_trigger_to_its_end() -> None:
    pipeline = await started()
    async with pipeline.running():
        await pipeline.send("form.submitted", form_id="signup")
        for step in ("first", "second"):
            received, job = await next_job(pipeline)
            assert job.step_id == step
            token = os.urandom(16)
            assert await pipeline.pass_gate(job, token) is Passed.PASSED
            await pipeline.finish(received, job, token)
        await pipeline.until(lambda: pipeline.executions[0].reason == "finished")
        assert pipeline.status(pipeline.executions[0].id) == "completed"
        await pipeline.until(lambda: pipeline.measured("goald_jobs_published_total") == 2)
        await pipeline.until(lambda: not pipeline.actions.permits)


async def test_an_exit_closes_the_gate_of_the_next_step() -> None:
    pipeline = await started()
    async with pipeline.running():
        await pipeline.send("form.submitted", form_id="signup")
        _, job = await next_job(pipeline)
        await pipeline.tag()
        await pipeline.until(lambda: bool(pipeline.exits))
        assert await pipeline.pass_gate(job, os.urandom(16)) is Passed.REFUSED_CLOSED
        (execution,) = pipeline.executions
        assert (execution.reason, execution.gate) == ("goal_achieved", None)
        assert pipeline.published("goald:exits")[0]["data"]["action_in_flight"] is False
        enrollment = pipeline.database.enrollments["acme", execution.id]
        assert enrollment.exit_acknowledged_at is not None
        assert enrollment.cancelled_actions == 1


async def test_an_exit_says_that_a_call_is_in_flight() -> None:
    pipeline = await started()
    async with pipeline.running():
        await pipeline.send("form.submitted", form_id="signup")
        received, job = await next_job(pipeline)
        token = os.urandom(16)
        await pipeline.pass_gate(job, token)
        await pipeline.tag()
        await pipeline.until(lambda: bool(pipeline.exits))
        assert pipeline.published("goald:exits")[0]["data"]["action_in_flight"] is True
        enrollment = pipeline.database.enrollments["acme", job.execution_id]
        assert enrollment.exit_acknowledged_at is not None
        assert enrollment.cancelled_actions == 0
        await pipeline.finish(received, job, token)
        await pipeline.all_acknowledged()
        assert await pipeline.jobs() == []
        assert pipeline.executions[0].reason == "goal_achieved"
        log = pipeline.database.of_executions.logs
        assert [row.message for row in log if row.event_type == "goal_achieved"] == [
            "action in flight"
        ]
        count = "goald_exit_action_in_flight_seconds_count"
        await pipeline.until(lambda: pipeline.measured(count) == 1)
        assert pipeline.measured("goald_gates_closed_total") == 1


async def test_a_cancellation_by_a_user_is_logged_with_the_call_in_flight() -> None:
    pipeline = await started()
    async with pipeline.running():
        await pipeline.send("form.submitted", form_id="signup")
        _, job = await next_job(pipeline)
        await pipeline.pass_gate(job, os.urandom(16))
        request = {"execution_id": job.execution_id, "user": "admin"}
        await pipeline.send("workflow.execution.cancel_requested", **request)
        await pipeline.until(lambda: pipeline.executions[0].reason == "user")
        (row,) = [
            row
            for row in pipeline.database.of_executions.logs
            if row.event_type == "execution_cancelled"
        ]
        assert (row.message, row.user) == ("user: action in flight", "admin")


async def test_the_shard_and_the_api_derive_the_same_id_of_a_requested_execution() -> None:
    pipeline = await started()
    async with pipeline.running():
        await pipeline.send("workflow.execution.requested", workflow_id="w", key="k-1")
        await pipeline.until(lambda: bool(pipeline.executions))
        assert pipeline.executions[0].id == requested_execution_id("acme", "w", "ann", "k-1")


async def test_a_permit_is_returned_if_the_execution_ends_before_it_is_used() -> None:
    pipeline = await started()
    pipeline.share = 1  # the tag waits for the group that has the permit
    await pipeline.send("form.submitted", form_id="signup")
    await pipeline.tag()
    async with pipeline.running():
        await pipeline.until(lambda: bool(pipeline.exits))
        await pipeline.until(lambda: not pipeline.actions.permits)
        assert pipeline.executions[0].reason == "goal_achieved"


async def test_results_beyond_the_share_of_their_tenant_are_evaluated() -> None:
    pipeline = await started()
    pipeline.share = 1
    async with pipeline.running():
        for contact in ("ann", "bob"):
            await pipeline.send("form.submitted", contact, form_id="signup")
        await pipeline.until(lambda: len(pipeline.executions) == 2)
        ends = asyncio.create_task(
            pipeline.until(lambda: {each.reason for each in pipeline.executions} == {"finished"})
        )
        while not ends.done():
            for received in await pipeline.jobs():
                job, token = Job.parse(received.payload), os.urandom(16)
                assert await pipeline.pass_gate(job, token) is Passed.PASSED
                await pipeline.finish(received, job, token)
            await asyncio.sleep(0.01)
        await ends


async def test_an_account_runs_no_more_executions_than_its_limit() -> None:
    pipeline = await started()
    pipeline.concurrent_executions = 2
    async with pipeline.running():
        for contact in ("ann", "bob", "cas"):
            await pipeline.send("form.submitted", contact, form_id="signup")
        await pipeline.until(lambda: len(pipeline.executions) == 3)
        await pipeline.until(lambda: len(pipeline.actions.permits) == 2)
        await pipeline.all_acknowledged()
        states = sorted(each.status for each in pipeline.executions)
        assert states == ["ACTIVE", "ACTIVE", "QUEUED"]
        active = next(each for each in pipeline.executions if each.status == "ACTIVE")
        contact = pipeline.database.enrollments["acme", active.id].contact_id
        await pipeline.tag(contact=contact)
        await pipeline.until(
            lambda: sum(each.status == "ACTIVE" for each in pipeline.executions) == 2
        )


async def test_a_wait_ends_although_no_events_arrive() -> None:
    pipeline = WorkflowPipeline()
    pipeline.configure()
    pipeline.publish(WorkflowDefinition((DurationWait("pause", 300_000), SECOND), trigger=SIGNUP))
    async with pipeline.running():
        await pipeline.send("form.submitted", form_id="signup")
        await pipeline.until(lambda: [each.state for each in pipeline.executions] == ["sleeping"])
        _, job = await next_job(pipeline)
        assert job.step_id == "second"


async def test_a_wait_continues_after_a_restart() -> None:
    pipeline = WorkflowPipeline()
    pipeline.configure()
    pipeline.publish(WorkflowDefinition((DurationWait("pause", 2_000_000), SECOND), trigger=SIGNUP))
    async with pipeline.running():
        await pipeline.send("form.submitted", form_id="signup")
        await pipeline.until(lambda: bool(pipeline.executions))
    assert [each.state for each in pipeline.executions] == ["sleeping"]
    async with pipeline.running():
        _, job = await next_job(pipeline)
        assert job.step_id == "second"


async def test_after_redis_was_replaced_a_job_is_unknown_and_others_run() -> None:
    pipeline = await started()
    async with pipeline.running():
        await pipeline.send("form.submitted", form_id="signup")
        _, lost = await next_job(pipeline)
        pipeline.streams.run_id += "+"
        await pipeline.send("form.submitted", "bob", form_id="signup")
        _, job = await next_job(pipeline)
        token = os.urandom(16)
        assert await pipeline.pass_gate(job, token) is Passed.PASSED
        assert await pipeline.pass_gate(lost, os.urandom(16)) is Passed.REFUSED_UNKNOWN
        (row,) = [each for each in pipeline.executions if each.id == lost.execution_id]
        await pipeline.until(lambda: row.state == "backing_off")
        assert (row.retry_count, row.gate) == (1, None)


async def test_a_tenant_without_plans_costs_no_call() -> None:
    pipeline = WorkflowPipeline()
    pipeline.configure()
    async with pipeline.running():
        await pipeline.enroll()
        await pipeline.tag()
        await pipeline.until(lambda: pipeline.exits == ["e-1"])
        assert "action_in_flight" not in pipeline.published("goald:exits")[0]["data"]
        assert not pipeline.actions.holders


async def test_the_payloads_of_a_deleted_contact_are_erased() -> None:
    pipeline = await started()
    ann, bob = (TenantId("acme"), ContactId("ann")), (TenantId("acme"), ContactId("bob"))
    pipeline.actions.payloads = {(*ann, "key-1"): b"x", (*bob, "key-2"): b"y"}
    async with pipeline.running():
        await pipeline.send("form.submitted", form_id="signup")
        await pipeline.send("contact.deleted")
        await pipeline.all_acknowledged()
        assert pipeline.executions[0].reason == "contact_deleted"
        assert set(pipeline.actions.payloads) == {(*bob, "key-2")}
