"""The generated histories cover all statuses, and the model keeps its invariants."""

from collections import Counter

from hypothesis import given, settings
from tests.support.reference.histories import Batch, History, histories, play

seen: Counter[str] = Counter()


@settings(max_examples=100, deadline=None, database=None, derandomize=True)
@given(histories())
def _tally(history: History) -> None:
    model = play(history)
    seen["histories"] += 1
    seen["achieve"] += bool(model.achievements)
    seen["several tenants"] += len({tenant for tenant, _ in model.workflows}) > 1
    seen["events"] += sum(len(step.events) for step in history.steps if isinstance(step, Batch))
    seen.update({enrollment.status for enrollment in model.enrollments.values()})


def test_most_histories_achieve_something_and_every_status_is_reached() -> None:
    seen.clear()
    _tally()
    assert seen["events"] == 50 * seen["histories"]
    assert seen["achieve"] > 0.7 * seen["histories"]
    for rarer in ("several tenants", "completed_goal", "completed", "exited", "cancelled"):
        assert seen[rarer] > 0.2 * seen["histories"], rarer


@settings(max_examples=100, deadline=None, database=None)
@given(histories())
def test_an_enrollment_exits_once_and_never_achieves_a_goal_twice(history: History) -> None:
    model = play(history)
    goals = Counter((new.tenant, new.enrollment, new.goal) for new in model.achievements)
    exits = Counter((exit_.tenant, exit_.enrollment) for exit_ in model.exits)
    completed = {
        key for key, found in model.enrollments.items() if found.status == "completed_goal"
    }
    assert set(goals.values()) <= {1}
    assert set(exits.values()) <= {1}
    assert set(exits) == completed
    for exit_ in model.exits:
        assert set(exit_.goal_ids) == {
            goal
            for tenant, enrollment, goal in goals
            if (tenant, enrollment) == (exit_.tenant, exit_.enrollment)
        }
