"""An event that is delivered again completes no later run of its contact (E11)."""

import itertools
import json
from typing import Any

import pytest
from tests.support.pipeline.in_memory_pipeline import STREAM, InMemoryPipeline

AT_NINE, AT_TEN = "2026-02-01T09:00:00Z", "2026-02-01T10:00:00Z"
_numbers = itertools.count()


@pytest.fixture(params=["one batch", "batch by batch"])
def batched(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "one batch")


@pytest.fixture
def pipeline() -> InMemoryPipeline:
    in_memory = InMemoryPipeline()
    in_memory.configure()
    return in_memory


def event(kind: str, event_id: str, at: str = AT_TEN, **data: Any) -> dict[str, Any]:
    return {
        "id": event_id, "source": "shop", "type": kind, "time": at, "tenantid": "acme",
        "data": {"contact_id": "ann", **data},
    }  # fmt: skip


def start(enrollment: str, enrolled_at: str, **data: Any) -> dict[str, Any]:
    ids = {"workflow_id": "w", "enrollment_id": enrollment, "enrolled_at": enrolled_at}
    kind = "workflow.enrollment.started"
    return event(kind, f"start-{next(_numbers)}", AT_TEN, **ids, **data)


def tag(event_id: str, at: str = AT_TEN) -> dict[str, Any]:
    return event("contact.tag.added", event_id, at, tag_name="Customer")


async def send(pipeline: InMemoryPipeline, batched: bool, *events: dict[str, Any]) -> None:
    """Process events as one batch, or each on its own by a new process."""
    for each in events:
        await pipeline.streams.add(STREAM, [b"event", json.dumps(each).encode()])
        if not batched:
            async with pipeline.running():
                await pipeline.all_acknowledged()
    async with pipeline.running():
        await pipeline.all_acknowledged()


async def test_redelivered_event_does_not_complete_the_next_run(
    pipeline: InMemoryPipeline, batched: bool
) -> None:
    sent = [start("run-1", AT_NINE), tag("pay-1"), start("run-2", AT_TEN), tag("pay-1")]
    await send(pipeline, batched, *sent)
    assert (pipeline.status("run-1"), pipeline.status("run-2")) == ("completed_goal", "active")


async def test_redelivered_event_with_another_time_does_not_complete_the_next_run(
    pipeline: InMemoryPipeline, batched: bool
) -> None:
    later = "2026-02-01T11:00:00Z"
    sent = [start("run-1", AT_NINE), tag("pay-1"), start("run-2", AT_TEN), tag("pay-1", later)]
    await send(pipeline, batched, *sent)
    assert pipeline.status("run-2") == "active"


async def test_event_that_a_paused_workflow_missed_counts_in_one_run(
    pipeline: InMemoryPipeline, batched: bool
) -> None:
    pipeline.configure(active=False)
    await send(pipeline, batched, start("run-1", AT_NINE), tag("pay-1"))
    pipeline.configure(version=2, exits_missed=True)
    await send(pipeline, batched, start("run-2", AT_TEN), tag("pay-1"))
    assert (pipeline.status("run-1"), pipeline.status("run-2")) == ("completed_goal", "active")


async def test_another_event_completes_the_next_run(
    pipeline: InMemoryPipeline, batched: bool
) -> None:
    sent = [start("run-1", AT_NINE), tag("pay-1"), start("run-2", AT_TEN), tag("pay-2")]
    await send(pipeline, batched, *sent)
    assert pipeline.exits == ["run-1", "run-2"]


async def test_event_completes_every_run_that_is_active_when_it_is_first_judged(
    pipeline: InMemoryPipeline, batched: bool
) -> None:
    sent = [start("run-1", AT_NINE), start("run-2", AT_NINE), tag("pay-1"), tag("pay-1")]
    await send(pipeline, batched, *sent)
    assert sorted(pipeline.exits) == ["run-1", "run-2"]


async def test_event_does_not_complete_the_run_that_it_started(
    pipeline: InMemoryPipeline, batched: bool
) -> None:
    entry = {"source": "shop", "id": "pay-1"}
    sent = [tag("pay-1"), start("run-1", AT_TEN, started_by=entry), tag("pay-1")]
    await send(pipeline, batched, *sent)
    assert pipeline.status("run-1") == "active"
    await send(pipeline, batched, tag("pay-2"))
    assert pipeline.status("run-1") == "completed_goal"


async def test_event_that_the_start_does_not_name_completes_the_run_that_it_started(
    pipeline: InMemoryPipeline, batched: bool
) -> None:
    """It met no goal before, so it is like an event that happened after the start."""
    for run, reference in (("run-1", None), ("run-2", {"source": "shop", "id": "another"})):
        given = {} if reference is None else {"started_by": reference}
        entry = tag(f"entry-{run}")
        await send(pipeline, batched, entry, start(run, AT_TEN, **given), entry)
        assert pipeline.status(run) == "completed_goal"


async def test_event_whose_run_had_ended_otherwise_completes_the_next_run(
    pipeline: InMemoryPipeline, batched: bool
) -> None:
    """Evaluated with others, the start looks like that of a new run until Postgres is asked."""
    first = start("run-1", AT_NINE)
    ids = {"workflow_id": "w", "enrollment_id": "run-1", "reason": "exited"}
    await send(pipeline, batched, first, event("workflow.enrollment.ended", "end-1", **ids))
    await send(pipeline, batched, first, tag("pay-1"), start("run-2", AT_TEN), tag("pay-1"))
    assert (pipeline.status("run-1"), pipeline.status("run-2")) == ("exited", "completed_goal")
