"""Events that a workflow misses while it is paused exit its enrollments at the activation (E19)."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.support.pipeline.in_memory_pipeline import InMemoryPipeline

from goald.ports.configuration import WorkflowKey


@pytest.fixture(params=["while it runs", "at its start"])
def loads(request: pytest.FixtureRequest) -> str:
    """When the shard loads a change of the configuration."""
    return str(request.param)


@pytest.fixture
def pipeline() -> InMemoryPipeline:
    in_memory = InMemoryPipeline()
    in_memory.configure(active=False)
    return in_memory


@asynccontextmanager
async def paused(pipeline: InMemoryPipeline) -> AsyncIterator[None]:
    """A running instance, after two enrollments, of which the first one missed an event."""
    async with pipeline.running():
        await pipeline.enroll("e-1")
        await pipeline.tag()
        await pipeline.enroll("e-2")
        await pipeline.all_acknowledged()
        assert pipeline.exits == []
        yield


async def activate(pipeline: InMemoryPipeline, loads: str, *, exits_missed: bool) -> None:
    """Pause, activate the workflow, and send an event for another contact."""
    async with paused(pipeline):
        if loads == "while it runs":
            await pipeline.reconfigure(version=2, exits_missed=exits_missed)
            await loaded(pipeline, 2)
    if loads == "at its start":
        pipeline.configure(version=2, exits_missed=exits_missed)
    async with pipeline.running():
        await pipeline.enroll("e-3", "bob")
        await pipeline.tag(contact="bob")
        await pipeline.all_acknowledged()


async def loaded(pipeline: InMemoryPipeline, version: int) -> None:
    """Wait until the shard has loaded a configuration, and nothing is left to exit or to forget."""
    database = pipeline.database
    await pipeline.until(lambda: version in database.config_versions.values())
    *_, (_, workflow) = database.workflows
    await pipeline.until(lambda: not (workflow["is_active"] and database.missed))


async def test_activation_exits_the_enrollments_that_missed_an_event(
    pipeline: InMemoryPipeline, loads: str
) -> None:
    await activate(pipeline, loads, exits_missed=True)
    assert pipeline.exits == ["e-1", "e-3"]
    assert pipeline.status("e-2") == "active"
    assert pipeline.database.missed == {}


async def test_activation_forgets_missed_events_by_default(
    pipeline: InMemoryPipeline, loads: str
) -> None:
    await activate(pipeline, loads, exits_missed=False)
    assert pipeline.exits == ["e-3"]
    assert pipeline.database.missed == {}


async def test_missed_events_are_evaluated_before_events_that_arrive_later(
    pipeline: InMemoryPipeline,
) -> None:
    """A later event would otherwise complete the enrollment, with another time."""
    async with paused(pipeline):
        pass
    pipeline.configure(version=2, exits_missed=True)
    await pipeline.tag()
    async with pipeline.running():
        await pipeline.all_acknowledged()
    first, *_ = [row for row in pipeline.database.achievements if row.enrollment.id == "e-1"]
    assert sorted(pipeline.exits) == ["e-1", "e-2"]
    assert pipeline.exits[0] == "e-1"
    assert first.achieved_at < max(row.achieved_at for row in pipeline.database.achievements)


async def test_later_events_wait_while_a_running_shard_looks_for_missed_events(
    pipeline: InMemoryPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit would otherwise have the time of the later event."""
    released, read = asyncio.Event(), pipeline.store.missed_workflows

    async def wait_and_read(*arguments: Any) -> Sequence[WorkflowKey]:
        await released.wait()
        return await read(*arguments)

    async with paused(pipeline):
        monkeypatch.setattr(pipeline.store, "missed_workflows", wait_and_read)
        await pipeline.reconfigure(version=2, exits_missed=True)
        await pipeline.tag()
        for _ in range(2_000):
            await asyncio.sleep(0)
        assert pipeline.exits == []
        released.set()
        await pipeline.all_acknowledged()
    assert pipeline.exits == ["e-1", "e-2"]


async def test_tags_of_a_missed_list_are_new_as_when_it_arrived(
    pipeline: InMemoryPipeline,
) -> None:
    """Another event may have given the tags since then."""
    async with pipeline.running():
        await pipeline.enroll("e-1")
        await pipeline.send("contact.tag.added", tags=["Customer"])
        await pipeline.all_acknowledged()  # the tenant has a projection from then on
        await pipeline.send("contact.tag.removed", tag_name="Customer")
        await pipeline.tag()
        await pipeline.all_acknowledged()
        await pipeline.reconfigure(version=9, exits_missed=True)
        await loaded(pipeline, 9)
    assert pipeline.exits == ["e-1"]


async def test_enrollment_that_ended_while_paused_does_not_exit(
    pipeline: InMemoryPipeline,
) -> None:
    async with paused(pipeline):
        await pipeline.send(
            "workflow.enrollment.ended", workflow_id="w", enrollment_id="e-1", reason="exited"
        )
        await pipeline.all_acknowledged()
        await pipeline.reconfigure(version=2, exits_missed=True)
        await loaded(pipeline, 2)
    assert pipeline.exits == []
    assert pipeline.database.missed == {}


async def test_deleted_contact_leaves_no_missed_event(pipeline: InMemoryPipeline) -> None:
    async with paused(pipeline):
        assert len(pipeline.database.missed) == 1
        await pipeline.send("contact.deleted")
        await pipeline.all_acknowledged()
    assert pipeline.database.missed == {}


async def test_missed_event_that_postgres_refuses_delays_no_other(
    pipeline: InMemoryPipeline,
) -> None:
    async with pipeline.running():
        for number in range(3):
            await pipeline.enroll(f"e-{number}", f"c-{number}")
            await pipeline.tag(contact=f"c-{number}")
        await pipeline.all_acknowledged()
        pipeline.database.refused_contacts.add("c-1")
        await pipeline.reconfigure(version=2, exits_missed=True)
        await loaded(pipeline, 2)
    assert sorted(pipeline.exits) == ["e-0", "e-2"]
    assert pipeline.status("e-1") == "active"
    (refused,) = pipeline.dead_letters
    assert b"c-1" in refused[b"event"]


async def test_workflow_that_is_paused_again_keeps_the_next_event(
    pipeline: InMemoryPipeline,
) -> None:
    async with paused(pipeline):
        await pipeline.reconfigure(version=2)
        await loaded(pipeline, 2)
        await pipeline.reconfigure(version=3, active=False)
        await loaded(pipeline, 3)
        await pipeline.tag()
        await pipeline.all_acknowledged()
        await pipeline.reconfigure(version=4, exits_missed=True)
        await loaded(pipeline, 4)
    assert sorted(pipeline.exits) == ["e-1", "e-2"]


async def test_the_next_event_is_kept_when_an_activation_has_made_room() -> None:
    """Of an enrollment whose first missed event was not kept."""
    pipeline = InMemoryPipeline(missed_bytes=1)
    pipeline.configure("fills", active=False)
    pipeline.configure(active=False)
    async with pipeline.running():
        await pipeline.enroll("e-1", "ann", workflow="fills")
        await pipeline.tag(contact="ann")
        await pipeline.enroll("e-2", "bea")
        await pipeline.all_acknowledged()
        await pipeline.tag(contact="bea")
        await pipeline.all_acknowledged()
        assert list(pipeline.database.missed) == [("acme", "e-1")]
        await pipeline.reconfigure("fills", version=2)
        await loaded(pipeline, 2)
        await pipeline.tag(contact="bea")
        await pipeline.all_acknowledged()
        await pipeline.reconfigure(version=3, exits_missed=True)
        await loaded(pipeline, 3)
    assert pipeline.exits == ["e-2"]


async def test_missed_events_beyond_the_limit_of_a_tenant_are_counted_and_not_kept() -> None:
    pipeline = InMemoryPipeline(missed_bytes=1)
    pipeline.configure(active=False)
    async with pipeline.running():
        for enrollment, contact in (("e-1", "ann"), ("e-2", "bea"), ("e-3", "cleo")):
            await pipeline.enroll(enrollment, contact)
            await pipeline.tag(contact=contact)
            await pipeline.all_acknowledged()
        await pipeline.until(lambda: pipeline.measured("goald_missed_dropped_total") == 2)
        await pipeline.reconfigure(version=2, exits_missed=True)
        await pipeline.until(lambda: pipeline.exits == ["e-1"])
    assert pipeline.status("e-2") == "active"
