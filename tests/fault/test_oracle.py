"""The oracle accepts a correct outcome, and finds each kind of error."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.fault.harness.history import Shape, configured_model, history
from tests.fault.harness.oracle import ExitSeen, Observed, Oracle

EVENTS = history(7, "r0", Shape(deletions=False))


def correct_outcome() -> Observed:
    """The outcome of the events without any fault."""
    model = configured_model()
    for event in EVENTS:
        model.feed(event)
    seen = Observed()
    for each in model.enrollments.values():
        seen.enrollments[each.tenant, each.id] = (each.contact, each.workflow, each.status)
    for number, expected in enumerate(model.exits):
        seen_exit = ExitSeen(
            f"id-{number}",
            expected.tenant,
            expected.enrollment,
            expected.contact,
            expected.workflow,
            tuple(sorted(expected.goal_ids)),
            expected.event_id,
        )
        seen.exits[expected.tenant, expected.enrollment] = [seen_exit, seen_exit]  # published twice
    for met in model.achievements:
        achieved = (met.contact, met.workflow, met.achieved_at_us, met.event_id)
        seen.achievements[met.tenant, met.enrollment, met.goal] = [achieved]
    return seen


def judge(seen: Observed) -> tuple[int, int, int]:
    """The number of lost, doubled and unjustified effects."""
    oracle = Oracle()
    oracle.feed(EVENTS)
    verdict = oracle.compare(seen)
    return len(verdict.lost), len(verdict.doubled), len(verdict.unjustified)


def test_a_correct_outcome_with_repeated_exits_is_accepted() -> None:
    seen = correct_outcome()
    assert len(seen.exits) > 20
    assert judge(seen) == (0, 0, 0)


def test_a_dead_lettered_duplicate_is_found_next_to_a_rejected_enrollment() -> None:
    oracle = Oracle()
    oracle.feed(history(1, "run7", Shape(contacts=20)))
    wrong, repeat = ("run7-227", "another's"), ("run7-10", "another's")
    before = oracle.compare(Observed()).lost
    assert oracle.compare(Observed(dead_letters=[wrong])).lost == before
    (error,) = set(oracle.compare(Observed(dead_letters=[wrong, repeat])).lost) - set(before)
    assert "run7-10 was dead-lettered" in error


def lose_an_exit(seen: Observed) -> None:
    seen.exits.popitem()


def lose_an_achievement(seen: Observed) -> None:
    seen.achievements.popitem()


def lose_an_enrollment(seen: Observed) -> None:
    seen.enrollments.popitem()


def leave_an_enrollment_active(seen: Observed) -> None:
    key = next(iter(seen.exits))
    seen.enrollments[key] = (*seen.enrollments[key][:2], "active")


def publish_under_another_id(seen: Observed) -> None:
    exits = next(iter(seen.exits.values()))
    exits[1] = replace(exits[1], id="another")


def achieve_twice(seen: Observed) -> None:
    found = next(iter(seen.achievements.values()))
    found.append(found[0])


def exit_another_tenants(seen: Observed) -> None:
    exits = next(iter(seen.exits.values()))
    other = "south" if exits[0].tenant == "north" else "north"
    key = next(key for key in seen.enrollments if key[0] == other and key not in seen.exits)
    seen.exits[key] = [replace(exits[0], id="its own", tenant=other, enrollment=key[1])]


def exit_by_another_event(seen: Observed) -> None:
    key, exits = next(iter(seen.exits.items()))
    seen.exits[key] = [replace(each, event_id="r0-0") for each in exits]


def dead_letter_an_event(seen: Observed) -> None:
    event = next(each for each in EVENTS if each["type"] == "payment.completed")
    seen.dead_letters.append((event["id"], "a reason"))


@pytest.mark.parametrize(
    ("tamper", "errors"),
    [
        (lose_an_exit, (1, 0, 0)),
        (lose_an_achievement, (1, 0, 0)),
        (lose_an_enrollment, (1, 0, 0)),
        (leave_an_enrollment_active, (1, 0, 0)),
        (publish_under_another_id, (0, 1, 0)),
        (achieve_twice, (0, 1, 0)),
        (exit_another_tenants, (0, 0, 1)),
        (exit_by_another_event, (0, 0, 1)),
        (dead_letter_an_event, (1, 0, 0)),
    ],
)
def test_each_error_is_found(
    tamper: Callable[[Observed], None], errors: tuple[int, int, int]
) -> None:
    seen = correct_outcome()
    tamper(seen)
    assert judge(seen) == errors


def test_reading_a_history_again_from_any_point_changes_nothing() -> None:
    once = configured_model()
    for event in EVENTS:
        once.feed(event)
    again = configured_model()
    for end in (len(EVENTS) // 3, len(EVENTS) // 2, len(EVENTS)):
        for event in EVENTS[:end]:
            again.feed(event)
    assert again.exits == once.exits
    assert again.achievements == once.achievements
    assert again.enrollments == once.enrollments
