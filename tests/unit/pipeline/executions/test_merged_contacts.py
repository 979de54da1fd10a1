"""Executions of merged contacts continue under the other contact (E21)."""

import json
import os
from functools import partial

import pytest
from tests.support.pipeline.in_memory_pipeline import STREAM
from tests.support.pipeline.workflows import ShiftedClock, WorkflowPipeline

from goald.adapters.memory.streams import MemoryStreams
from goald.client import event
from goald.domain.definitions.steps import ActionStep, EventPattern, Reentry, WorkflowDefinition
from goald.domain.ids import EnrollmentId
from goald.domain.slots import slot_of
from goald.pipeline.executions import shard as shard_module
from goald.ports.actions.jobs import Passed

STEPS = (ActionStep("first", "noop", {}), ActionStep("second", "noop", {}))
SIGNUP = EventPattern("form_submitted", {"form_id": "signup"})


def configured(reentry: Reentry | None = None) -> WorkflowPipeline:
    pipeline = WorkflowPipeline()
    pipeline.configure()
    definition = WorkflowDefinition(STEPS, trigger=SIGNUP, reentry=reentry or Reentry())
    pipeline.publish(definition)
    return pipeline


def started(pipeline: WorkflowPipeline, count: int) -> bool:
    return len(pipeline.executions) == count


async def merge_two(pipeline: WorkflowPipeline) -> None:
    """Start executions of ann and then of bob, and merge bob into ann."""
    for number, contact in enumerate(("ann", "bob"), 1):
        await pipeline.send("form.submitted", contact, form_id="signup")
        await pipeline.until(partial(started, pipeline, number))
    await pipeline.until(lambda: len(pipeline.actions.permits) == 2)
    await pipeline.send("contact.merged", "bob", into_contact_id="ann")


async def test_the_younger_of_two_executions_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_module, "MOVED_SECONDS", 0.0)
    pipeline = configured()
    async with pipeline.running():
        await merge_two(pipeline)
        older, younger = pipeline.executions
        await pipeline.until(lambda: younger.reason is not None)
        assert (younger.status, younger.reason) == ("CANCELLED", "contact_merged")
        assert pipeline.status(younger.id) == "cancelled"
        assert older.reason is None
        await pipeline.until(lambda: len(pipeline.actions.permits) == 1)
        jobs = {job.execution_id: job for _, job in await pipeline.decoded_jobs()}
        answer = await pipeline.pass_gate(jobs[EnrollmentId(older.id)], os.urandom(16))
        assert answer is Passed.PASSED
        assert younger.id not in jobs


async def test_both_stay_if_the_workflow_allows_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_module, "MOVED_SECONDS", 0.0)
    pipeline = configured(Reentry(allow="always"))
    async with pipeline.running():
        await merge_two(pipeline)
        moved = {("acme", slot_of("acme", "ann"))}
        await pipeline.until(
            lambda: {row.contact_id for row in pipeline.database.enrollments.values()} == {"ann"}
        )
        for received, job in await pipeline.decoded_jobs():
            token = os.urandom(16)
            assert await pipeline.pass_gate(job, token) is Passed.PASSED
            await pipeline.finish(received, job, token)
        steps: list[str] = []
        while len(steps) < 2:
            steps += [job.step_id for _, job in await pipeline.decoded_jobs()]
        assert steps == ["second", "second"]
        await pipeline.until(
            lambda: {(tenant, slot) for tenant, _, slot in pipeline.actions.permits} == moved
        )
        assert len(pipeline.actions.permits) == 2


async def test_a_second_execution_ends_after_a_restart() -> None:
    pipeline = configured(Reentry(allow="always"))
    async with pipeline.running():
        await merge_two(pipeline)
        await pipeline.until(
            lambda: {row.contact_id for row in pipeline.database.enrollments.values()} == {"ann"}
        )
        _, younger = pipeline.executions
        assert younger.reason is None
    pipeline.publish(WorkflowDefinition(STEPS, trigger=SIGNUP), version=2)
    async with pipeline.running():
        await pipeline.until(lambda: younger.reason is not None)
    assert [each.reason for each in pipeline.executions] == [None, "contact_merged"]


async def test_a_trigger_that_is_delivered_again_after_a_merge_starts_nothing() -> None:
    clock = ShiftedClock()
    pipeline = WorkflowPipeline(streams=MemoryStreams(clock), clock=clock)
    pipeline.configure()
    pipeline.publish(WorkflowDefinition(STEPS, trigger=SIGNUP, reentry=Reentry(allow="always")))
    trigger = event("form.submitted", "acme", "bob", {"form_id": "signup"})
    entry = [b"event", json.dumps(trigger).encode()]
    async with pipeline.running():
        await pipeline.streams.add(STREAM, entry)
        await pipeline.until(lambda: len(pipeline.executions) == 1)
        await pipeline.send("contact.merged", "bob", into_contact_id="ann")
        await pipeline.all_acknowledged()
        clock.shift_us = 10_000_000  # beyond the time in which triggers are duplicates
        await pipeline.streams.add(STREAM, entry)
        await pipeline.all_acknowledged()
        assert len(pipeline.executions) == 1
        await pipeline.send("form.submitted", "bob", form_id="signup")
        await pipeline.until(lambda: len(pipeline.executions) == 2)
