"""A contact has a limited number of active enrollments, regardless of batches and repeats (E5)."""

from typing import Any

import pytest
from tests.support.pipeline.in_memory_pipeline import InMemoryPipeline

REASON = (
    b"the contact has 2 active enrollments, which is the limit (GOALD_MAX_ENROLLMENTS_PER_CONTACT)"
)


@pytest.fixture
def pipeline() -> InMemoryPipeline:
    in_memory = InMemoryPipeline(max_enrollments_per_contact=2)
    in_memory.configure()
    return in_memory


def active(pipeline: InMemoryPipeline) -> list[str]:
    rows = pipeline.database.enrollments.values()
    return sorted(row.id for row in rows if row.status == "active")


async def send_as_one_batch(pipeline: InMemoryPipeline, *events: tuple[str, Any]) -> None:
    """Send events while no process runs, then run until they are processed."""
    for name, data in events:
        await pipeline.send(name, **data)
    async with pipeline.running():
        await pipeline.all_acknowledged()


def start(enrollment: str, **data: Any) -> tuple[str, Any]:
    ids = {"workflow_id": "w", "enrollment_id": enrollment}
    return "workflow.enrollment.started", ids | data


def end(enrollment: str) -> tuple[str, Any]:
    ids = {"workflow_id": "w", "enrollment_id": enrollment, "reason": "exited"}
    return "workflow.enrollment.ended", ids


async def test_start_beyond_the_limit_is_dead_lettered(pipeline: InMemoryPipeline) -> None:
    await send_as_one_batch(pipeline, *(start(f"e-{number}") for number in range(4)))
    await send_as_one_batch(pipeline, end("e-0"), start("e-4"), start("e-5"))
    assert active(pipeline) == ["e-1", "e-4"]
    reasons = [each[b"reason"] for each in pipeline.dead_letters]
    assert reasons == [REASON] * 3


async def test_refused_starts_are_counted(pipeline: InMemoryPipeline) -> None:
    heartbeats = pipeline.process_registry.heartbeats

    def refused() -> float:
        families = heartbeats["shard:0"].metrics if "shard:0" in heartbeats else ()
        samples = (sample for family in families for sample in family["samples"])
        name = "goald_enrollment_starts_refused_total"
        return sum(float(value) for sample, _, value in samples if sample == name)

    async with pipeline.running():
        for number in range(5):
            await pipeline.enroll(f"e-{number}")
        await pipeline.until(lambda: refused() >= 3)
        assert refused() == 3


async def test_contact_of_another_tenant_has_its_own_limit(pipeline: InMemoryPipeline) -> None:
    await send_as_one_batch(pipeline, start("e-0"), start("e-1"))
    await pipeline.send("workflow.enrollment.started", "bob", **start("e-2")[1])
    await send_as_one_batch(pipeline)
    assert active(pipeline) == ["e-0", "e-1", "e-2"]


async def test_repeated_start_of_an_ended_enrollment_uses_no_place(
    pipeline: InMemoryPipeline,
) -> None:
    first = start("e-0", enrolled_at="2026-01-01T00:00:00Z")
    await send_as_one_batch(pipeline, first, end("e-0"))
    await send_as_one_batch(pipeline, first, start("e-1"), start("e-2"))
    assert active(pipeline) == ["e-1", "e-2"]
    assert pipeline.dead_letters == []


async def test_repeated_start_at_the_limit_is_not_dead_lettered(
    pipeline: InMemoryPipeline,
) -> None:
    first = start("e-0", enrolled_at="2026-01-01T00:00:00Z")
    await send_as_one_batch(pipeline, first, end("e-0"), start("e-1"), start("e-2"))
    await send_as_one_batch(pipeline, first, *(start(f"e-{number}") for number in range(1, 4)))
    assert active(pipeline) == ["e-1", "e-2"]
    assert [each[b"reason"] for each in pipeline.dead_letters] == [REASON]


async def test_start_before_the_deletion_of_its_contact_uses_no_place(
    pipeline: InMemoryPipeline,
) -> None:
    await send_as_one_batch(pipeline, ("contact.deleted", {}))
    early = start("e-0", enrolled_at="2020-01-01T00:00:00Z")
    await send_as_one_batch(pipeline, early, start("e-1"), start("e-2"), start("e-3"))
    assert active(pipeline) == ["e-1", "e-2"]
    assert pipeline.status("e-0") == "cancelled"
    assert [each[b"reason"] for each in pipeline.dead_letters] == [REASON]
