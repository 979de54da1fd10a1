"""A start under the id of an enrollment that has ended is dead-lettered (E12)."""

import json
from typing import Any

import pytest
from tests.support.pipeline.in_memory_pipeline import STREAM, InMemoryPipeline

REASON = (
    b"the enrollment with this enrollment_id has ended; to enroll the contact again, use a new "
    b"enrollment_id"
)
JANUARY, FEBRUARY, MARCH = (f"2026-0{month}-01T00:00:00Z" for month in (1, 2, 3))


@pytest.fixture(params=["one batch", "batch by batch"])
def batched(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "one batch")


@pytest.fixture
def pipeline() -> InMemoryPipeline:
    in_memory = InMemoryPipeline()
    in_memory.configure()
    return in_memory


def event(kind: str, at: str, **data: Any) -> dict[str, Any]:
    return {
        "id": f"{kind}-{at}", "source": "engine", "type": kind, "time": at, "tenantid": "acme",
        "data": {"contact_id": "ann", **data},
    }  # fmt: skip


def start(at: str, **data: Any) -> dict[str, Any]:
    ids = {"workflow_id": "w", "enrollment_id": "ann"}
    return event("workflow.enrollment.started", at, **ids | data)


def end(at: str) -> dict[str, Any]:
    ids = {"workflow_id": "w", "enrollment_id": "ann", "reason": "exited"}
    return event("workflow.enrollment.ended", at, **ids)


def tag(at: str) -> dict[str, Any]:
    return event("contact.tag.added", at, tag_name="Customer")


async def send(pipeline: InMemoryPipeline, batched: bool, *events: dict[str, Any]) -> list[bytes]:
    """Process events as one batch, or each on its own; return the reasons of dead letters."""
    for each in events:
        await pipeline.streams.add(STREAM, [b"event", json.dumps(each).encode()])
        if not batched:
            async with pipeline.running():
                await pipeline.all_acknowledged()
    async with pipeline.running():
        await pipeline.all_acknowledged()
    return [each[b"reason"] for each in pipeline.dead_letters]


@pytest.mark.parametrize("ends", [end, tag])
async def test_start_under_the_id_of_an_ended_run_is_dead_lettered(
    pipeline: InMemoryPipeline, batched: bool, ends: Any
) -> None:
    sent = [start(JANUARY), ends(FEBRUARY), start(MARCH)]
    assert await send(pipeline, batched, *sent) == [REASON]
    assert pipeline.status("ann") in ("exited", "completed_goal")


async def test_run_that_ends_in_the_batch_of_the_next_start(pipeline: InMemoryPipeline) -> None:
    assert await send(pipeline, True, start(JANUARY)) == []
    assert await send(pipeline, True, tag(FEBRUARY), start(MARCH)) == [REASON]


async def test_earlier_start_after_the_end_is_dead_lettered(
    pipeline: InMemoryPipeline, batched: bool
) -> None:
    sent = [start(FEBRUARY), end(MARCH), start(JANUARY)]
    assert await send(pipeline, batched, *sent) == [REASON]


async def test_repeat_of_the_start_changes_nothing(
    pipeline: InMemoryPipeline, batched: bool
) -> None:
    sent = [start(JANUARY), end(FEBRUARY), start(JANUARY), start(MARCH, enrolled_at=JANUARY)]
    assert await send(pipeline, batched, *sent) == []
    assert pipeline.status("ann") == "exited"


async def test_second_start_of_an_active_run_changes_nothing(
    pipeline: InMemoryPipeline, batched: bool
) -> None:
    assert await send(pipeline, batched, start(JANUARY), start(FEBRUARY)) == []
    assert pipeline.status("ann") == "active"


async def test_start_that_arrives_after_its_end_is_not_dead_lettered(
    pipeline: InMemoryPipeline, batched: bool
) -> None:
    assert await send(pipeline, batched, end(FEBRUARY), start(JANUARY)) == []
    assert pipeline.status("ann") == "exited"


async def test_start_after_an_end_that_arrived_alone_is_dead_lettered(
    pipeline: InMemoryPipeline, batched: bool
) -> None:
    assert await send(pipeline, batched, end(FEBRUARY), start(MARCH)) == [REASON]


async def test_late_start_of_a_deleted_contact_is_not_dead_lettered(
    pipeline: InMemoryPipeline, batched: bool
) -> None:
    sent = [start(JANUARY), event("contact.deleted", MARCH), start(FEBRUARY)]
    assert await send(pipeline, batched, *sent) == []
