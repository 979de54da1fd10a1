"""Events and models for examples with manually computed results."""

import itertools
from typing import Any

from tests.support.reference.model import Model
from tests.support.reference.records import Goal, Outcome

# 2026-03-01T00:00:00Z; `at(90)` is 90 seconds later.
START_US = 1_772_323_200_000_000
_serial = itertools.count()


def at(seconds: int) -> str:
    hours, rest = divmod(seconds, 3600)
    return f"2026-03-01T{hours:02}:{rest // 60:02}:{rest % 60:02}Z"


def event(kind: str, seconds: int = 100, contact: str = "c-1", **data: Any) -> dict[str, Any]:
    return {
        "id": f"ev-{next(_serial)}",
        "source": "test",
        "type": kind,
        "time": at(seconds),
        "tenantid": "acme",
        "data": {"contact_id": contact, **data},
    }


def started(enrollment: str = "e-1", seconds: int = 0, **data: Any) -> dict[str, Any]:
    fields = {"workflow_id": "w-1", "enrollment_id": enrollment, **data}
    return event("workflow.enrollment.started", seconds, **fields)


def ended(enrollment: str = "e-1", reason: str = "exited", **data: Any) -> dict[str, Any]:
    fields = {"workflow_id": "w-1", "enrollment_id": enrollment, "reason": reason, **data}
    return event("workflow.enrollment.ended", **fields)


def tag(tag_id: str, seconds: int = 100) -> dict[str, Any]:
    return event("contact.tag.added", seconds, tag_id=tag_id)


def tag_goal(goal: str, tag_id: str, **rest: Any) -> Goal:
    return Goal(goal, "tag_added", {"tag_id": tag_id}, **rest)


def watching(*goals: Goal, logic: str = "any", active: bool = True, skew_us: int = 0) -> Model:
    """A model with one workflow, and the contact c-1 enrolled in it at second 0."""
    model = Model(clock_skew_us=skew_us)
    model.configure("acme", "w-1", logic, active, goals)
    assert model.feed(started()).started == ["e-1"]
    return model


def status(model: Model, enrollment: str = "e-1") -> str:
    return model.enrollments["acme", enrollment].status


def goals_of(outcome: Outcome) -> list[str]:
    return [achievement.goal for achievement in outcome.achieved]
