"""The reference model, rule by rule, with manually computed examples.

The model is the oracle of other tests, so it is tested against the rules and not against an
implementation. test_criteria.py covers E2.
"""

from typing import Any

import pytest
from tests.support.reference import Goal, Model, Outcome
from tests.support.reference.by_hand import (
    START_US,
    ended,
    event,
    goals_of,
    started,
    status,
    tag,
    tag_goal,
    watching,
)

# E1


def test_an_event_is_evaluated_for_every_active_enrollment_of_its_contact() -> None:
    model = watching(tag_goal("g", "t"))
    model.feed(started("e-2"))
    model.feed(event("workflow.enrollment.started", 0, "c-2", workflow_id="w-1", enrollment_id="x"))
    assert [exit_.enrollment for exit_ in model.feed(tag("t")).exited] == ["e-1", "e-2"]
    assert status(model, "x") == "active"


def test_tenants_that_share_every_id_do_not_touch_each_other() -> None:
    model = watching(tag_goal("g", "t"))
    assert model.feed(tag("t") | {"tenantid": "globex"}).exited == []
    assert status(model) == "active"


def test_an_inactive_workflow_or_goal_is_never_met() -> None:
    assert not watching(tag_goal("g", "t"), active=False).feed(tag("t")).achieved
    assert not watching(tag_goal("g", "t", is_active=False)).feed(tag("t")).achieved


def test_the_configuration_at_arrival_applies_regardless_of_the_events_time() -> None:
    model = watching(tag_goal("g", "t"), active=False)
    model.configure("acme", "w-1", "any", True, [tag_goal("g", "t")])
    assert goals_of(model.feed(tag("t", seconds=1))) == ["g"]


# E3


def test_an_event_before_its_enrollment_is_not_retroactive_and_one_at_the_same_time_counts() -> (
    None
):
    model = Model()
    model.configure("acme", "w-1", "any", True, [tag_goal("g", "t")])
    model.feed(started(seconds=100))
    assert not model.feed(tag("t", seconds=99)).achieved
    assert model.feed(tag("t", seconds=100)).achieved


def test_enrolled_at_overrides_the_time_of_the_started_event() -> None:
    model = Model()
    model.configure("acme", "w-1", "any", True, [tag_goal("g", "t")])
    model.feed(started(seconds=100, enrolled_at="2026-03-01T01:00:50.5+01:00"))
    assert model.enrollments["acme", "e-1"].enrolled_at_us == START_US + 50_500_000
    assert model.feed(tag("t", seconds=51)).achieved


def test_effective_from_is_compared_with_the_time_of_the_event() -> None:
    goal = tag_goal("g", "t", effective_from_us=START_US + 50_000_000)
    assert not watching(goal).feed(tag("t", seconds=49)).achieved
    assert watching(goal).feed(tag("t", seconds=50)).achieved
    assert not watching(tag_goal("g", "t", effective_from_us=None)).feed(tag("t")).achieved


def test_clock_skew_applies_to_both_comparisons() -> None:
    goal = tag_goal("g", "t", effective_from_us=START_US + 50_000_000)
    assert watching(goal, skew_us=2_000_000).feed(tag("t", seconds=48)).achieved
    assert not watching(goal, skew_us=2_000_000).feed(tag("t", seconds=47)).achieved


# E4


def test_any_completes_with_one_achievement_which_the_older_goal_has() -> None:
    young = tag_goal("young", "t", created_us=2, position=0)
    old = tag_goal("old", "t", created_us=1, position=1)
    first = tag_goal("first", "t", created_us=1, position=0)
    assert goals_of(watching(young, old).feed(tag("t"))) == ["old"]
    outcome = watching(young, old, first).feed(tag("t"))
    assert goals_of(outcome) == ["first"]
    assert outcome.exited[0].goal_ids == ("first",)


def test_all_records_each_goal_and_completes_with_the_last() -> None:
    model = watching(tag_goal("a", "t-a", position=1), tag_goal("b", "t-b"), logic="all")
    first = model.feed(tag("t-a", 10))
    assert (goals_of(first), first.exited, status(model)) == (["a"], [], "active")
    last = model.feed(tag("t-b", 20))
    assert (goals_of(last), status(model)) == (["b"], "completed_goal")
    (exit_,) = last.exited
    assert exit_.goal_ids == ("b", "a")
    assert exit_.achieved_at_us == START_US + 20_000_000
    assert exit_.goal_type == "tag_added"


def test_one_event_may_meet_several_goals_of_an_all_workflow() -> None:
    model = watching(
        Goal("small", "purchase_made", {"min_amount": 10}, position=0),
        Goal("large", "purchase_made", {"min_amount": 100}, position=1),
        logic="all",
    )
    assert goals_of(model.feed(event("payment.completed", amount=20))) == ["small"]
    model.feed(started("e-2"))
    outcome = model.feed(event("payment.completed", amount=100))
    assert [(new.enrollment, new.goal) for new in outcome.achieved] == [
        ("e-1", "large"),
        ("e-2", "small"),
        ("e-2", "large"),
    ]
    assert len(outcome.exited) == 2


def test_a_goal_met_before_is_not_achieved_again() -> None:
    model = watching(tag_goal("a", "t-a"), tag_goal("b", "t-b"), logic="all")
    model.feed(tag("t-a", 10))
    assert model.feed(tag("t-a", 20)) == Outcome()
    assert len(model.achievements) == 1


def test_a_match_of_a_goal_met_before_completes_once_all_that_are_active_are_met() -> None:
    a, b = tag_goal("a", "t-a"), tag_goal("b", "t-b")
    model = watching(a, b, logic="all")
    model.feed(tag("t-a", 10))
    model.configure("acme", "w-1", "all", True, [a])
    assert status(model) == "active"
    outcome = model.feed(tag("t-a", 20))
    assert (goals_of(outcome), status(model)) == ([], "completed_goal")
    assert outcome.exited[0].goal_ids == ("a",)


# E5


def test_a_status_leaves_active_only_once() -> None:
    model = watching(tag_goal("g", "t"))
    assert model.feed(ended(reason="completed")).ended == ["e-1"]
    assert model.feed(ended(reason="cancelled")) == Outcome()
    assert model.feed(tag("t")) == Outcome()
    assert model.feed(started()) == Outcome()
    assert status(model) == "completed"


def test_a_second_started_never_overwrites() -> None:
    model = watching(tag_goal("g", "t"))
    assert model.feed(started(seconds=200, pending_actions=3)) == Outcome()
    enrollment = model.enrollments["acme", "e-1"]
    assert (enrollment.enrolled_at_us, enrollment.pending_actions) == (START_US, None)


def test_an_ended_before_its_started_stores_the_enrollment_as_ended() -> None:
    model = Model()
    model.configure("acme", "w-1", "any", True, [tag_goal("g", "t")])
    assert model.feed(ended(reason="cancelled")).ended == ["e-1"]
    assert model.feed(started()) == Outcome()
    assert model.feed(tag("t")) == Outcome()
    assert status(model) == "cancelled"
    assert model.enrollments["acme", "e-1"].enrolled_at_us == START_US + 100_000_000


@pytest.mark.parametrize("again", [started, ended])
@pytest.mark.parametrize("other", [{"contact": "c-2"}, {"workflow_id": "w-2"}])
def test_an_enrollment_id_that_comes_back_for_another_is_refused(
    again: Any, other: dict[str, str]
) -> None:
    model = watching()
    assert model.feed(again(**other)).rejected == "enrollment"
    assert status(model) == "active"


def test_enrolling_again_starts_a_new_enrollment() -> None:
    model = watching(tag_goal("g", "t"))
    model.feed(tag("t", 10))
    model.feed(started("e-2", 20))
    assert not model.feed(tag("t", 10)).achieved
    assert model.feed(tag("t", 30)).achieved[0].enrollment == "e-2"


def test_an_enrollment_in_an_unknown_workflow_is_evaluated_after_its_configuration() -> None:
    model = Model()
    assert model.feed(started()).started == ["e-1"]
    assert not model.feed(tag("t", 10)).achieved
    model.configure("acme", "w-1", "any", True, [tag_goal("g", "t")])
    assert model.feed(tag("t", 20)).achieved


# E6, E8


def test_achieved_at_is_the_events_time() -> None:
    outcome = watching(tag_goal("g", "t")).feed(tag("t", 77))
    assert outcome.achieved[0].achieved_at_us == START_US + 77_000_000


def test_a_changed_goal_applies_from_its_new_version_on() -> None:
    model = watching(tag_goal("g", "t-old"))
    model.configure("acme", "w-1", "any", True, [tag_goal("g", "t-new")])
    assert not model.feed(tag("t-old", 10)).achieved
    assert model.feed(tag("t-new", 20)).achieved


def test_deleting_a_goal_completes_no_enrollment_and_keeps_its_achievement() -> None:
    a, b, c = tag_goal("a", "t-a"), tag_goal("b", "t-b"), tag_goal("c", "t-c", position=-1)
    model = watching(a, b, logic="all")
    model.feed(tag("t-a", 10))
    model.configure("acme", "w-1", "all", True, [b, c])
    assert status(model) == "active"
    model.feed(tag("t-b", 20))
    assert model.feed(tag("t-c", 30)).exited[0].goal_ids == ("a", "c", "b")


def test_an_inactive_goal_is_not_required() -> None:
    model = watching(tag_goal("a", "t-a"), tag_goal("b", "t-b", is_active=False), logic="all")
    assert model.feed(tag("t-a")).exited


# Contacts deleted, and events that are ignored


def test_deleting_a_contact_cancels_earlier_enrollments_without_an_exit() -> None:
    model = watching(tag_goal("g", "t"))
    model.feed(started("e-2", 100))
    model.feed(started("e-3", 101))
    model.feed(ended("e-4", reason="completed"))
    assert model.feed(event("contact.deleted", 100)).cancelled == ["e-1", "e-2"]
    assert model.exits == []
    assert [status(model, f"e-{n}") for n in (1, 2, 3, 4)] == [
        "cancelled",
        "cancelled",
        "active",
        "completed",
    ]


def test_an_enrollment_dated_ahead_begins_when_its_start_is_received() -> None:
    model = watching(tag_goal("g", "t"))
    model.feed(started("e-2", 300), START_US + 100_000_000)
    model.feed(started("e-3", 300), START_US + 101_000_000)
    assert model.feed(event("contact.deleted", 100)).cancelled == ["e-1", "e-2"]
    model.feed(started("e-4", 300), START_US + 100_000_000)
    assert [status(model, f"e-{n}") for n in (2, 3, 4)] == ["cancelled", "active", "cancelled"]
    # The end of an enrollment is not its start.
    end = event("workflow.enrollment.ended", 300, **ended("e-5")["data"])
    model.feed(end, START_US + 100_000_000)
    assert status(model, "e-5") == "exited"


def test_an_event_more_than_a_day_ahead_is_refused() -> None:
    model = watching(tag_goal("g", "t"))
    model.now_us = START_US + 100_000_000 - 24 * 3600 * 1_000_000 - 1
    assert model.feed(tag("t")).rejected == "time"
    model.now_us += 1
    assert model.feed(tag("t")).achieved


def test_unknown_types_and_fields_are_ignored() -> None:
    model = watching(tag_goal("g", "t"))
    assert model.feed(event("contact.viewed")).ignored
    assert not model.feed(event("contact.updated")).ignored
    assert model.feed(event("contact.tag.added", tag_id="t", color=["red"])).achieved
    acknowledged = event("workflow.exit.acknowledged", workflow_id="w-1", enrollment_id="e-1")
    assert model.feed(acknowledged).acknowledged == ["e-1"]
