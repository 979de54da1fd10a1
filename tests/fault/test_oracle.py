"""The oracle itself: it accepts what is right, and finds each thing that is wrong."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.fault.harness.history import Shape, configured_model, history
from tests.fault.harness.oracle import ExitSeen, Observed, Oracle

EVENTS = history(7, "r0", Shape(deletions=False))


def what_is_right() -> Observed:
    """What a faultless goald leaves of the events."""
    model = configured_model()
    for event in EVENTS:
        model.feed(event)
    seen = Observed()
    for each in model.enrollments.values():
        seen.enrollments[each.tenant, each.id] = (each.contact, each.workflow, each.status)
    for number, left in enumerate(model.exits):
        said = ExitSeen(
            f"id-{number}",
            left.tenant,
            left.enrollment,
            left.contact,
            left.workflow,
            tuple(sorted(left.goal_ids)),
            left.event_id,
        )
        seen.exits[left.tenant, left.enrollment] = [said, said]  # the second is a repeat
    for one in model.achievements:
        found = (one.contact, one.workflow, one.achieved_at_us, one.event_id)
        seen.achievements[one.tenant, one.enrollment, one.goal] = [found]
    return seen


def judged(seen: Observed) -> tuple[int, int, int]:
    """How much is lost, doubled, unjustified."""
    oracle = Oracle()
    oracle.feed(EVENTS)
    verdict = oracle.compare(seen)
    return len(verdict.lost), len(verdict.doubled), len(verdict.unjustified)


def test_a_right_outcome_is_accepted_with_its_repeats() -> None:
    seen = what_is_right()
    assert len(seen.exits) > 20
    assert judged(seen) == (0, 0, 0)


def test_a_buried_repeat_is_noticed_beside_the_wrong_claim_to_its_enrollment() -> None:
    oracle = Oracle()
    oracle.feed(history(1, "r7", Shape(contacts=20)))
    wrong, repeat = ("r7-227", "another's"), ("r7-10", "another's")
    before = oracle.compare(Observed()).lost
    assert oracle.compare(Observed(buried=[wrong])).lost == before
    (told,) = set(oracle.compare(Observed(buried=[wrong, repeat])).lost) - set(before)
    assert "r7-10 is in goald:dead" in told


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


def bury_an_event(seen: Observed) -> None:
    event = next(each for each in EVENTS if each["type"] == "payment.completed")
    seen.buried.append((event["id"], "a reason"))


@pytest.mark.parametrize(
    ("tamper", "found"),
    [
        (lose_an_exit, (1, 0, 0)),
        (lose_an_achievement, (1, 0, 0)),
        (lose_an_enrollment, (1, 0, 0)),
        (leave_an_enrollment_active, (1, 0, 0)),
        (publish_under_another_id, (0, 1, 0)),
        (achieve_twice, (0, 1, 0)),
        (exit_another_tenants, (0, 0, 1)),
        (exit_by_another_event, (0, 0, 1)),
        (bury_an_event, (1, 0, 0)),
    ],
)
def test_what_is_wrong_is_found(
    tamper: Callable[[Observed], None], found: tuple[int, int, int]
) -> None:
    seen = what_is_right()
    tamper(seen)
    assert judged(seen) == found


def test_a_history_means_the_same_wherever_it_is_read_again_from() -> None:
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
