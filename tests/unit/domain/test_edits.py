"""What one change of an editor changes, and what it is refused for."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from goald.domain.configuration import edits
from goald.domain.configuration.catalog import Catalog, CatalogCheck, catalog_after
from goald.domain.configuration.edits import Expected, GoalPatch, NewGoal
from goald.domain.configuration.workflows import (
    ConfigurationChange,
    EntityRow,
    GoalRow,
    HeldConfiguration,
    Stamp,
    WorkflowRow,
)
from goald.domain.errors import (
    AlreadyExists,
    InvalidConfiguration,
    NotFound,
    StaleVersion,
    VersionConflict,
)

NOW = 1_767_225_600_000_000
SEEN = Stamp(3, NOW - 9, NOW - 5)
NEW = UUID(int=99)


def tag(number: int, **more: Any) -> GoalRow:
    row = GoalRow(
        UUID(int=number), "w", None, number, "tag_added", {"tag_name": f"t-{number}"}, True,
        NOW - 5, SEEN,
    )  # fmt: skip
    return replace(row, **more)


def holding(*goals: GoalRow, is_active: bool = True) -> HeldConfiguration:
    workflow = WorkflowRow("w", "W", "any", is_active, SEEN)
    return HeldConfiguration({"w": workflow}, {"w": list(goals)})


def catalog(held: HeldConfiguration, check: CatalogCheck = "known") -> Catalog:
    return catalog_after(held, [], check)


def add(
    held: HeldConfiguration, goal: NewGoal, check: CatalogCheck = "known"
) -> list[ConfigurationChange]:
    return edits.add_goal(held, "w", goal, catalog(held, check), NOW, lambda: NEW)


def change(
    held: HeldConfiguration, number: int, expected: Expected | None = None, **patch: Any
) -> list[ConfigurationChange]:
    return edits.change_goal(
        held, "w", UUID(int=number), GoalPatch(**patch), expected or Expected(), catalog(held), NOW
    )


def activate(held: HeldConfiguration, check: CatalogCheck = "known") -> list[ConfigurationChange]:
    return edits.set_active(held, "w", True, Expected(), catalog(held, check), NOW)


def row_after(changes: list[ConfigurationChange]) -> Any:
    (one,) = changes
    return one.after


# Versions -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "expected",
    [
        Expected(),
        Expected(versions=frozenset({1, 3})),
        Expected(existing=True),
        Expected(version=3),
    ],
)
def test_version_that_was_seen_may_be_changed(expected: Expected) -> None:
    held = holding()
    assert edits.put_workflow(held, "w", "New", None, expected)


@pytest.mark.parametrize(
    ("expected", "error"),
    [
        (Expected(versions=frozenset({2})), StaleVersion),
        (Expected(versions=frozenset()), StaleVersion),
        (Expected(version=2), VersionConflict),
    ],
)
def test_version_that_was_not_seen_is_not_changed(
    expected: Expected, error: type[Exception]
) -> None:
    held = holding(tag(0))
    with pytest.raises(error, match="its version is 3"):
        edits.put_workflow(held, "w", "New", None, expected)
    with pytest.raises(error):
        edits.set_active(held, "w", False, expected, catalog(held), NOW)
    with pytest.raises(error):
        change(held, 0, expected, is_active=False)
    with pytest.raises(error):
        edits.delete_goal(held, "w", UUID(int=0), expected)


@pytest.mark.parametrize(
    ("expected", "error"),
    [
        (Expected(versions=frozenset({1})), StaleVersion),
        (Expected(existing=True), StaleVersion),
        (Expected(version=1), VersionConflict),
    ],
)
def test_what_is_gone_is_not_made_anew_by_who_saw_it(
    expected: Expected, error: type[Exception]
) -> None:
    with pytest.raises(error, match="it is not there"):
        edits.put_workflow(HeldConfiguration(), "w", "New", None, expected)


# Workflows ------------------------------------------------------------------------------


def test_new_workflow_is_a_draft() -> None:
    after = row_after(edits.put_workflow(HeldConfiguration(), "w", None, None, Expected()))
    assert after == WorkflowRow("w", "w", "any", False)


def test_what_is_left_out_of_a_workflow_stays() -> None:
    held = holding()
    assert edits.put_workflow(held, "w", None, None, Expected()) == []
    after = row_after(edits.put_workflow(held, "w", None, "all", Expected()))
    assert after == WorkflowRow("w", "W", "all", True)


def test_activation_makes_goals_effective_that_were_not() -> None:
    held = holding(tag(0, effective_from=None), tag(1), is_active=False)
    workflow, goal = activate(held)
    assert workflow.after == WorkflowRow("w", "W", "any", True)
    assert isinstance(goal.after, GoalRow)
    assert (goal.after.id, goal.after.effective_from) == (UUID(int=0), NOW)


def test_goal_that_is_switched_off_is_not_made_effective_by_activation() -> None:
    held = holding(tag(0, effective_from=None, is_active=False), is_active=False)
    assert [type(one.row) for one in activate(held)] == [WorkflowRow]


def test_active_workflow_stays_as_it_is() -> None:
    assert activate(holding(tag(0, effective_from=None))) == []


def test_workflow_without_goals_can_be_activated() -> None:
    assert len(activate(holding(is_active=False))) == 1


def test_activation_is_refused_where_a_goal_refers_to_what_is_gone() -> None:
    held = holding(tag(0, criteria={"tag_id": "gone"}), is_active=False)
    held.kinds = {"tag"}
    with pytest.raises(InvalidConfiguration) as refused:
        activate(held)
    assert str(refused.value) == "Invalid goal configuration: tag does not exist"


def test_activation_is_refused_where_a_row_is_of_the_wrong_type() -> None:
    held = holding(tag(0, criteria={"tag_id": Decimal(5)}), is_active=False)
    with pytest.raises(InvalidConfiguration, match=r"Invalid goal configuration: criteria\.tag_id"):
        activate(held)


@pytest.mark.parametrize(
    ("check", "kinds", "is_refused"),
    [
        ("strict", set(), True),
        ("strict", {"tag"}, True),
        ("known", set(), False),
        ("known", {"form"}, False),
        ("known", {"tag"}, True),
        ("off", {"tag"}, False),
    ],
)
def test_catalog_is_checked_as_it_is_set(
    check: CatalogCheck, kinds: set[str], is_refused: bool
) -> None:
    held = holding(tag(0, criteria={"tag_id": "gone"}), is_active=False)
    held.kinds = kinds
    goal = NewGoal("tag_added", {"tag_id": "gone too"})
    if is_refused:
        with pytest.raises(InvalidConfiguration, match="Referenced tag does not exist"):
            add(held, goal, check)
        with pytest.raises(InvalidConfiguration, match="tag does not exist"):
            activate(held, check)
    else:
        assert add(held, goal, check)
        assert activate(held, check)


# Goals ----------------------------------------------------------------------------------


def test_goal_of_an_active_workflow_listens_from_now_on() -> None:
    after = row_after(add(holding(tag(0), tag(2)), NewGoal("tag_added", {"tag_name": "x"})))
    assert (after.id, after.position, after.effective_from) == (NEW, 1, NOW)


def test_goal_is_not_effective_until_it_is_active_in_an_active_workflow() -> None:
    draft = holding(is_active=False)
    assert row_after(add(draft, NewGoal("tag_added", {"tag_name": "x"}))).effective_from is None
    off = NewGoal("tag_added", {"tag_name": "x"}, is_active=False)
    made = row_after(add(holding(), off))
    assert made.effective_from is None
    switched_on = row_after(change(holding(replace(made, stamp=SEEN)), 99, is_active=True))
    assert switched_on.effective_from == NOW


def test_effective_from_that_somebody_set_stays() -> None:
    goal = NewGoal("tag_added", {"tag_name": "x"}, effective_from=NOW - 10**12)
    assert row_after(add(holding(), goal)).effective_from == NOW - 10**12


def test_fourth_goal_is_refused() -> None:
    with pytest.raises(InvalidConfiguration) as refused:
        add(holding(tag(0), tag(1), tag(2)), NewGoal("tag_added", {"tag_name": "x"}))
    assert str(refused.value) == "Maximum of 3 goals per workflow exceeded"


@pytest.mark.parametrize(
    "goal",
    [
        NewGoal("tag_added", {"tag_name": "t-0"}),
        NewGoal("tag_added", {"tag_name": "other"}, key="k"),
    ],
)
def test_goal_that_is_there_is_not_added_again(goal: NewGoal) -> None:
    with pytest.raises(AlreadyExists):
        add(holding(tag(0), tag(1, key="k")), goal)


def test_goal_is_not_changed_into_another_one() -> None:
    held = holding(tag(0), tag(1, key="k"))
    with pytest.raises(AlreadyExists, match="these criteria"):
        change(held, 0, criteria={"tag_name": "t-1"})
    with pytest.raises(AlreadyExists, match="the key k"):
        change(held, 0, key="k")


def test_amounts_are_the_same_goal_whatever_their_zeros() -> None:
    big = tag(0, goal_type="purchase_made", criteria={"min_amount": Decimal("100.00")})
    with pytest.raises(AlreadyExists):
        add(holding(big), NewGoal("purchase_made", {"min_amount": Decimal(100)}))


def test_criteria_are_replaced_and_not_merged() -> None:
    held = holding(tag(0, criteria={"tag_name": "x", "tag_id": "t"}))
    after = row_after(change(held, 0, criteria={"tag_name": "y"}))
    assert after.criteria == {"tag_name": "y"}
    assert after.effective_from == NOW - 5


def test_patch_that_changes_nothing_is_no_change() -> None:
    held = holding(tag(0, key="k"))
    assert change(held, 0) == []
    assert change(held, 0, criteria={"tag_name": "t-0", "tag_id": None}, key="k") == []


def test_key_can_be_taken_away() -> None:
    assert row_after(change(holding(tag(0, key="k")), 0, is_without_key=True)).key is None


def test_another_type_needs_criteria_of_its_own() -> None:
    held = holding(tag(0))
    with pytest.raises(InvalidConfiguration, match="Another goal_type needs criteria"):
        change(held, 0, goal_type="form_submitted")
    with pytest.raises(InvalidConfiguration, match=r"criteria\.form_id"):
        change(held, 0, goal_type="form_submitted", criteria={"tag_name": "x"})
    after = row_after(change(held, 0, goal_type="form_submitted", criteria={"form_id": "f"}))
    assert (after.goal_type, after.criteria) == ("form_submitted", {"form_id": "f"})


def test_empty_criteria_are_refused_in_a_patch_too() -> None:
    with pytest.raises(InvalidConfiguration) as refused:
        change(holding(tag(0)), 0, criteria={"tag_name": None})
    assert str(refused.value) == "Goal criteria cannot be empty"


def test_goal_may_be_renamed_or_switched_off_though_what_it_refers_to_is_gone() -> None:
    held = holding(tag(0, criteria={"tag_id": "gone"}), tag(1, criteria={"tag_id": "gone too"}))
    held.goals["w"][1] = replace(held.goals["w"][1], is_active=False)
    held.kinds = {"tag"}
    assert change(held, 0, is_active=False)
    assert change(held, 0, key="k")
    with pytest.raises(InvalidConfiguration, match="Referenced tag does not exist"):
        change(held, 1, is_active=True)


def test_what_is_not_there_is_not_found() -> None:
    held = holding(tag(0))
    attempts: list[Callable[[], object]] = [
        lambda: edits.set_active(held, "v", True, Expected(), catalog(held), NOW),
        lambda: edits.delete_goal(held, "w", UUID(int=7), Expected()),
        lambda: change(held, 7),
        lambda: edits.delete_entity(held, "tag", "t"),
    ]
    for attempt in attempts:
        with pytest.raises(NotFound):
            attempt()


# The catalog ----------------------------------------------------------------------------


def test_entity_is_made_renamed_and_left_alone() -> None:
    held = HeldConfiguration()
    row = EntityRow("tag", "t", "T")
    assert row_after(edits.put_entity(held, row)) == row
    held.catalog = {"tag": {"t": row}}
    assert edits.put_entity(held, row) == []
    (renamed,) = edits.put_entity(held, EntityRow("tag", "t", "U"))
    assert (renamed.before, renamed.action) == (row, "update")
