"""Transitions that Postgres refuses for their content, and that no event causes, end (D4)."""

import asyncio
import json
import os
from dataclasses import replace

import pytest
from tests.support.pipeline.in_memory_pipeline import STREAM
from tests.support.pipeline.workflows import WorkflowPipeline, next_job

from goald.client import event
from goald.domain.definitions.steps import ActionStep, EventPattern, WorkflowDefinition
from goald.pipeline.executions import shard as shard_module
from goald.pipeline.executions.refused import ERROR

STEPS = (ActionStep("first", "noop", {}), ActionStep("second", "noop", {}))
SIGNUP = EventPattern("form_submitted", {"form_id": "signup"})


def configured() -> WorkflowPipeline:
    pipeline = WorkflowPipeline()
    pipeline.configure()
    pipeline.publish(WorkflowDefinition(STEPS, trigger=SIGNUP))
    return pipeline


def events_of(pipeline: WorkflowPipeline) -> list[tuple[str, str | None]]:
    return [(row.event_type, row.message) for row in pipeline.database.of_executions.logs]


async def queued(monkeypatch: pytest.MonkeyPatch) -> WorkflowPipeline:
    """A pipeline that has stopped, in which ann's execution waits for a permit. When it runs
    again, its first group has the events that were sent."""
    pipeline = configured()
    pipeline.concurrent_executions = 0
    async with pipeline.running():
        await pipeline.send("form.submitted", form_id="signup")
        await pipeline.until(lambda: len(pipeline.executions) == 1)
        await pipeline.all_acknowledged()
    assert pipeline.executions[0].status == "QUEUED"
    pipeline.concurrent_executions = 100
    monkeypatch.setattr(shard_module, "TICK_SECONDS", 3_600)
    return pipeline


async def test_the_execution_fails_and_others_run() -> None:
    pipeline = configured()
    pipeline.store.refused_transitions.add(("ann", "running"))
    async with pipeline.running():
        await pipeline.send("form.submitted", form_id="signup")
        await pipeline.until(lambda: {each.status for each in pipeline.executions} == {"FAILED"})
        await pipeline.send("form.submitted", "bob", form_id="signup")
        _, job = await next_job(pipeline)
        assert job.contact_id == "bob"
        assert ("action_failed", ERROR) in events_of(pipeline)
        assert not pipeline.dead_letters
        await pipeline.until(lambda: len(pipeline.actions.permits) == 1)


async def test_a_failed_execution_can_be_retried() -> None:
    pipeline = configured()
    pipeline.store.refused_transitions.add(("ann", "running"))
    async with pipeline.running():
        await pipeline.send("form.submitted", form_id="signup")
        await pipeline.until(lambda: {each.status for each in pipeline.executions} == {"FAILED"})
        pipeline.store.refused_transitions.clear()
        (execution,) = pipeline.executions
        await pipeline.send("workflow.execution.retry_requested", execution_id=execution.id)
        _, job = await next_job(pipeline)
        assert (job.step_id, job.visit) == ("first", 2)


async def test_an_execution_that_cannot_fail_either_is_held() -> None:
    pipeline = configured()
    pipeline.store.refused_transitions |= {("ann", "running"), ("ann", "failed")}
    async with pipeline.running():
        await pipeline.send("form.submitted", form_id="signup")
        await pipeline.until(lambda: pipeline.measured("goald_executions_held") == 1)
        commits = pipeline.store.commits
        await asyncio.sleep(4 * shard_module.TICK_SECONDS)
        assert pipeline.store.commits == commits
        await pipeline.tag()  # goals still end it
        await pipeline.until(lambda: bool(pipeline.exits))
        assert pipeline.executions[0].reason == "goal_achieved"
        assert not pipeline.dead_letters


async def test_no_event_is_dead_lettered_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = await queued(monkeypatch)
    pipeline.store.refused_transitions.add(("ann", "running"))
    for contact in ("bob", "cas"):
        await pipeline.send("form.submitted", contact, form_id="signup")
    async with pipeline.running():
        await pipeline.until(lambda: len(pipeline.executions) == 3)
        await pipeline.until(lambda: "FAILED" in {each.status for each in pipeline.executions})
        await pipeline.all_acknowledged()
        assert not pipeline.dead_letters


async def test_an_exit_precedes_steps_if_another_event_of_its_group_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pipeline = await queued(monkeypatch)
    pipeline.store.refused_enrollments.add("refused")
    await pipeline.enroll("refused", "bob")
    await pipeline.tag()
    async with pipeline.running():
        await pipeline.until(lambda: bool(pipeline.exits))
        await pipeline.all_acknowledged()
        assert len(pipeline.dead_letters) == 1
        assert await pipeline.jobs() == []
        assert "action_started" not in dict(events_of(pipeline))
    assert pipeline.executions[0].attempt == 0


async def test_a_result_is_evaluated_although_another_execution_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pipeline = configured()
    pipeline.concurrent_executions = 1
    async with pipeline.running():
        await pipeline.send("form.submitted", "bob", form_id="signup")
        received, job = await next_job(pipeline)
        await pipeline.send("form.submitted", form_id="signup")
        await pipeline.until(lambda: len(pipeline.executions) == 2)
        await pipeline.all_acknowledged()
    pipeline.concurrent_executions = 100
    monkeypatch.setattr(shard_module, "TICK_SECONDS", 3_600)
    pipeline.store.refused_transitions.add(("ann", "running"))
    token = os.urandom(16)
    await pipeline.pass_gate(job, token)
    await pipeline.finish(received, job, token)
    async with pipeline.running():
        (bob,) = [each for each in pipeline.executions if each.id == job.execution_id]
        await pipeline.until(lambda: bob.done_steps == ["first"])
        await pipeline.until(lambda: "FAILED" in {each.status for each in pipeline.executions})
        assert bob.status == "ACTIVE"
        assert not pipeline.dead_letters


async def test_many_refused_executions_in_a_row_stop_the_shard() -> None:
    pipeline = configured()
    pipeline.configure(tenant="globex")
    (definition,) = pipeline.database.of_executions.definitions
    pipeline.database.of_executions.definitions.append(replace(definition, tenant_id="globex"))
    contacts = [f"c-{number}" for number in range(60)]
    pipeline.store.refused_transitions |= {(contact, "running") for contact in contacts}
    pipeline.concurrent_executions = 0
    async with pipeline.running():
        for contact in contacts:
            for tenant in ("acme", "globex"):
                body = event("form.submitted", tenant, contact, {"form_id": "signup"})
                await pipeline.streams.add(STREAM, [b"event", json.dumps(body).encode()])
        await pipeline.until(lambda: len(pipeline.executions) == 2 * len(contacts))
        await pipeline.all_acknowledged()
    pipeline.concurrent_executions = 100
    shard = pipeline.shard()
    running = asyncio.create_task(shard.run())
    await pipeline.until(lambda: "100 events in a row" in (shard.not_ready_reason or ""))
    assert not running.done()
    shard.stop()
    await running
