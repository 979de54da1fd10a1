"""A dry run about enrollments that have ended (E18)."""

import json
import time
from typing import Any, cast

import pytest
from tests.support.pipeline.in_memory_pipeline import GOAL, InMemoryPipeline

from goald.adapters.clock import SystemClock
from goald.adapters.memory.contacts import MemoryContacts
from goald.client import event
from goald.domain.times import rfc3339
from goald.pipeline.explain import Explain
from goald.pipeline.explain_ended import DIFFERS, MET_BEFORE, NOT_WATCHED, OTHER, TOO_MANY
from goald.pipeline.start_check import StartCheck
from goald.ports.configuration import GoalConfiguration

HOUR_US = 3_600_000_000


async def ended(pipeline: InMemoryPipeline, *enrollments: str) -> None:
    """Ann has these enrollments, which have ended one after the other."""
    async with pipeline.running():
        for enrollment in enrollments:
            await pipeline.enroll(enrollment, "ann")
            ids = {"workflow_id": "w", "enrollment_id": enrollment, "reason": "exited"}
            await pipeline.send("workflow.enrollment.ended", "ann", **ids)
        await pipeline.all_acknowledged()


async def explained(pipeline: InMemoryPipeline, most_active: int = 1_000) -> dict[str, Any]:
    """By enrollment: the goals that an event would meet after its end, or the reason why not."""
    contacts = MemoryContacts(pipeline.database, most_active=most_active)
    check = StartCheck(contacts, max_active=10_000)
    explain = Explain(contacts, check, SystemClock(), late_us=HOUR_US)
    tag = event("contact.tag.added", "acme", "ann", {"tag_name": "Customer"})
    answer = await explain.explain("acme", json.dumps(tag).encode())
    return {
        row["enrollment_id"]: [goal["goal_id"] for goal in row["goals"]] or row["reason"]
        for row in answer["enrollments"]
        if row["status"] != "active"
    }


def require_another_goal(pipeline: InMemoryPipeline) -> None:
    """The workflow has the logic `all`, and a second goal."""
    for _, workflow in pipeline.database.workflows:
        other = "00000000-0000-4000-8000-000000000002"
        goal = {**workflow["goals"][0], "id": other, "criteria": json.dumps({"tag_name": "Other"})}
        workflow["goal_logic"] = "all"
        workflow["goals"] = [*workflow["goals"], cast("GoalConfiguration", goal)]


@pytest.fixture
def pipeline() -> InMemoryPipeline:
    in_memory = InMemoryPipeline(late=3_600)
    in_memory.configure()
    return in_memory


async def test_the_latest_enrollment_gets_the_event(pipeline: InMemoryPipeline) -> None:
    await ended(pipeline, "e-1", "e-2")
    assert await explained(pipeline) == {"e-1": OTHER, "e-2": [GOAL]}


async def test_values_that_differ_are_not_reported_as_goals_that_were_met_before() -> None:
    pipeline = InMemoryPipeline(late=3_600)
    pipeline.configure(criteria={"tag_name": "Customer", "match": ["cart_id"]})
    require_another_goal(pipeline)
    await ended(pipeline, "e-1")
    pipeline.database.enrollments["acme", "e-1"].met_goals = [GOAL]
    assert await explained(pipeline) == {"e-1": DIFFERS}


async def test_the_event_counts_for_the_latest_enrollment_that_has_not_met_the_goal(
    pipeline: InMemoryPipeline,
) -> None:
    require_another_goal(pipeline)
    await ended(pipeline, "e-1", "e-2", "e-3")
    pipeline.database.enrollments["acme", "e-3"].met_goals = [GOAL]
    assert await explained(pipeline) == {"e-1": OTHER, "e-2": [GOAL], "e-3": MET_BEFORE}


async def test_an_enrollment_that_ended_too_early_is_not_watched(
    pipeline: InMemoryPipeline,
) -> None:
    await ended(pipeline, "e-1")
    row = pipeline.database.enrollments["acme", "e-1"]
    row.enrolled_at, row.ended_at = (row.enrolled_at - 2 * HOUR_US, row.enrolled_at - HOUR_US)
    assert await explained(pipeline) == {"e-1": NOT_WATCHED}


async def test_active_enrollments_that_are_not_read_may_count_the_event(
    pipeline: InMemoryPipeline,
) -> None:
    """Active ones come first, and only the newest are read."""
    await ended(pipeline, "e-1")
    async with pipeline.running():
        await pipeline.enroll("a-1", "ann")
        later = {"enrolled_at": rfc3339(round(time.time() * 1e6) + HOUR_US)}
        ids = {"workflow_id": "w", "enrollment_id": "a-2"}
        await pipeline.send("workflow.enrollment.started", "ann", **ids, **later)
        await pipeline.all_acknowledged()
    assert await explained(pipeline, most_active=1) == {"e-1": TOO_MANY}
