"""Single edits: the changes they make, and the errors they raise."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from goald.domain.configuration import edits
from goald.domain.configuration.catalog import Catalog, CatalogCheck, catalog_after
from goald.domain.configuration.edits import ExpectedVersion, GoalPatch, NewGoal
from goald.domain.configuration.workflows import (
    ConfigurationChange,
    CurrentConfiguration,
    EntityRow,
    GoalRow,
    RowMetadata,
    WorkflowRow,
)
from goald.domain.errors import (
    AlreadyExists,
    InvalidConfiguration,
    NotFound,
    StaleVersion,
    VersionConflict,
    WorkflowInUse,
)

NOW = 1_767_225_600_000_000
SEEN = RowMetadata(3, NOW - 9, NOW - 5)
NEW = UUID(int=99)
ANY_VERSION = ExpectedVersion()


def tag(number: int, **more: Any) -> GoalRow:
    row = GoalRow(
        UUID(int=number), "w", None, number, "tag_added", {"tag_name": f"t-{number}"}, True,
        NOW - 5, metadata=SEEN,
    )  # fmt: skip
    return replace(row, **more)


def configuration(*goals: GoalRow, is_active: bool = True) -> CurrentConfiguration:
    workflow = WorkflowRow("w", "W", "any", is_active, metadata=SEEN)
    return CurrentConfiguration({"w": workflow}, {"w": list(goals)})


def catalog(current: CurrentConfiguration, check: CatalogCheck = "known") -> Catalog:
    return catalog_after(current, [], check)


def add_goal(
    current: CurrentConfiguration, goal: NewGoal, check: CatalogCheck = "known"
) -> list[ConfigurationChange]:
    return edits.add_goal(current, "w", goal, catalog(current, check), NOW, lambda: NEW)


def change_goal(
    current: CurrentConfiguration,
    number: int,
    expected: ExpectedVersion | None = None,
    **patch: Any,
) -> list[ConfigurationChange]:
    return edits.change_goal(
        current,
        "w",
        UUID(int=number),
        GoalPatch(**patch),
        expected or ANY_VERSION,
        catalog(current),
        NOW,
    )


def activate(
    current: CurrentConfiguration, check: CatalogCheck = "known"
) -> list[ConfigurationChange]:
    return edits.set_active(current, "w", True, ANY_VERSION, catalog(current, check), NOW)


def row_after(changes: list[ConfigurationChange]) -> Any:
    (change,) = changes
    return change.after


# Versions -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "expected",
    [
        ANY_VERSION,
        ExpectedVersion(versions=frozenset({1, 3})),
        ExpectedVersion(must_exist=True),
        ExpectedVersion(version=3),
    ],
)
def test_edit_succeeds_when_the_version_matches(expected: ExpectedVersion) -> None:
    current = configuration()
    assert edits.put_workflow(current, "w", "New", None, expected)


@pytest.mark.parametrize(
    ("expected", "error"),
    [
        (ExpectedVersion(versions=frozenset({2})), StaleVersion),
        (ExpectedVersion(versions=frozenset()), StaleVersion),
        (ExpectedVersion(version=2), VersionConflict),
    ],
)
def test_edit_fails_when_the_version_does_not_match(
    expected: ExpectedVersion, error: type[Exception]
) -> None:
    current = configuration(tag(0))
    with pytest.raises(error, match="its version is 3"):
        edits.put_workflow(current, "w", "New", None, expected)
    with pytest.raises(error):
        edits.set_active(current, "w", False, expected, catalog(current), NOW)
    with pytest.raises(error):
        change_goal(current, 0, expected, is_active=False)
    with pytest.raises(error):
        edits.delete_goal(current, "w", UUID(int=0), expected)


@pytest.mark.parametrize(
    ("expected", "error"),
    [
        (ExpectedVersion(versions=frozenset({1})), StaleVersion),
        (ExpectedVersion(must_exist=True), StaleVersion),
        (ExpectedVersion(version=1), VersionConflict),
    ],
)
def test_edit_with_an_expected_version_does_not_create(
    expected: ExpectedVersion, error: type[Exception]
) -> None:
    with pytest.raises(error, match="the object does not exist"):
        edits.put_workflow(CurrentConfiguration(), "w", "New", None, expected)


# Workflows ------------------------------------------------------------------------------


def test_new_workflow_is_inactive() -> None:
    after = row_after(edits.put_workflow(CurrentConfiguration(), "w", None, None, ANY_VERSION))
    assert after == WorkflowRow("w", "w", "any", False)


def test_absent_fields_of_a_workflow_stay() -> None:
    current = configuration()
    assert edits.put_workflow(current, "w", None, None, ANY_VERSION) == []
    after = row_after(edits.put_workflow(current, "w", None, "all", ANY_VERSION))
    assert after == WorkflowRow("w", "W", "all", True)


def test_activation_sets_effective_from_of_goals_without_one() -> None:
    current = configuration(tag(0, effective_from=None), tag(1), is_active=False)
    workflow, goal = activate(current)
    assert workflow.after == WorkflowRow("w", "W", "any", True)
    assert isinstance(goal.after, GoalRow)
    assert (goal.after.id, goal.after.effective_from) == (UUID(int=0), NOW)


def test_activation_leaves_inactive_goals_without_effective_from() -> None:
    current = configuration(tag(0, effective_from=None, is_active=False), is_active=False)
    assert [type(change.row) for change in activate(current)] == [WorkflowRow]


def test_activation_of_an_active_workflow_changes_nothing() -> None:
    assert activate(configuration(tag(0, effective_from=None))) == []


def test_workflow_without_goals_can_be_activated() -> None:
    assert len(activate(configuration(is_active=False))) == 1


def test_activation_fails_when_a_goal_refers_to_a_deleted_entity() -> None:
    current = configuration(tag(0, criteria={"tag_id": "gone"}), is_active=False)
    current.kinds = {"tag"}
    with pytest.raises(InvalidConfiguration) as refused:
        activate(current)
    assert str(refused.value) == "Invalid goal configuration: tag does not exist"


def test_activation_fails_when_stored_criteria_are_invalid() -> None:
    current = configuration(tag(0, criteria={"tag_id": Decimal(5)}), is_active=False)
    with pytest.raises(InvalidConfiguration, match=r"Invalid goal configuration: criteria\.tag_id"):
        activate(current)


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
def test_catalog_check_follows_the_setting(
    check: CatalogCheck, kinds: set[str], is_refused: bool
) -> None:
    current = configuration(tag(0, criteria={"tag_id": "gone"}), is_active=False)
    current.kinds = kinds
    goal = NewGoal("tag_added", {"tag_id": "gone too"})
    if is_refused:
        with pytest.raises(InvalidConfiguration, match="Referenced tag does not exist"):
            add_goal(current, goal, check)
        with pytest.raises(InvalidConfiguration, match="tag does not exist"):
            activate(current, check)
    else:
        assert add_goal(current, goal, check)
        assert activate(current, check)


# Goals ----------------------------------------------------------------------------------


def test_goal_of_an_active_workflow_is_effective_from_now() -> None:
    after = row_after(
        add_goal(configuration(tag(0), tag(2)), NewGoal("tag_added", {"tag_name": "x"}))
    )
    assert (after.id, after.position, after.effective_from) == (NEW, 1, NOW)


def test_goal_has_no_effective_from_until_it_and_its_workflow_are_active() -> None:
    draft = configuration(is_active=False)
    assert (
        row_after(add_goal(draft, NewGoal("tag_added", {"tag_name": "x"}))).effective_from is None
    )
    off = NewGoal("tag_added", {"tag_name": "x"}, is_active=False)
    created = row_after(add_goal(configuration(), off))
    assert created.effective_from is None
    switched_on = row_after(
        change_goal(configuration(replace(created, metadata=SEEN)), 99, is_active=True)
    )
    assert switched_on.effective_from == NOW


def test_given_effective_from_stays() -> None:
    goal = NewGoal("tag_added", {"tag_name": "x"}, effective_from=NOW - 10**12)
    assert row_after(add_goal(configuration(), goal)).effective_from == NOW - 10**12


def test_fourth_goal_is_refused() -> None:
    with pytest.raises(InvalidConfiguration) as refused:
        add_goal(configuration(tag(0), tag(1), tag(2)), NewGoal("tag_added", {"tag_name": "x"}))
    assert str(refused.value) == "Maximum of 3 goals per workflow exceeded"


@pytest.mark.parametrize(
    "goal",
    [
        NewGoal("tag_added", {"tag_name": "t-0"}),
        NewGoal("tag_added", {"tag_name": "other"}, key="k"),
    ],
)
def test_duplicate_goal_is_refused(goal: NewGoal) -> None:
    with pytest.raises(AlreadyExists):
        add_goal(configuration(tag(0), tag(1, key="k")), goal)


def test_goal_cannot_become_a_duplicate() -> None:
    current = configuration(tag(0), tag(1, key="k"))
    with pytest.raises(AlreadyExists, match="these criteria"):
        change_goal(current, 0, criteria={"tag_name": "t-1"})
    with pytest.raises(AlreadyExists, match="the key k"):
        change_goal(current, 0, key="k")


def test_amounts_with_different_trailing_zeros_are_duplicates() -> None:
    big = tag(0, goal_type="purchase_made", criteria={"min_amount": Decimal("100.00")})
    with pytest.raises(AlreadyExists):
        add_goal(configuration(big), NewGoal("purchase_made", {"min_amount": Decimal(100)}))


def test_criteria_are_replaced_and_not_merged() -> None:
    current = configuration(tag(0, criteria={"tag_name": "x", "tag_id": "t"}))
    after = row_after(change_goal(current, 0, criteria={"tag_name": "y"}))
    assert after.criteria == {"tag_name": "y"}
    assert after.effective_from == NOW - 5


def test_patch_with_current_values_changes_nothing() -> None:
    current = configuration(tag(0, key="k"))
    assert change_goal(current, 0) == []
    assert change_goal(current, 0, criteria={"tag_name": "t-0", "tag_id": None}, key="k") == []


def test_key_can_be_removed() -> None:
    assert row_after(change_goal(configuration(tag(0, key="k")), 0, clears_key=True)).key is None


def test_new_goal_type_requires_new_criteria() -> None:
    current = configuration(tag(0))
    with pytest.raises(InvalidConfiguration, match="A new goal_type requires new criteria"):
        change_goal(current, 0, goal_type="form_submitted")
    with pytest.raises(InvalidConfiguration, match=r"criteria\.form_id"):
        change_goal(current, 0, goal_type="form_submitted", criteria={"tag_name": "x"})
    after = row_after(
        change_goal(current, 0, goal_type="form_submitted", criteria={"form_id": "f"})
    )
    assert (after.goal_type, after.criteria) == ("form_submitted", {"form_id": "f"})


def test_empty_criteria_are_refused_in_a_patch_too() -> None:
    with pytest.raises(InvalidConfiguration) as refused:
        change_goal(configuration(tag(0)), 0, criteria={"tag_name": None})
    assert str(refused.value) == "Goal criteria cannot be empty"


def test_goal_that_refers_to_a_deleted_entity_can_be_deactivated_but_not_activated() -> None:
    current = configuration(
        tag(0, criteria={"tag_id": "gone"}), tag(1, criteria={"tag_id": "gone too"})
    )
    current.goals["w"][1] = replace(current.goals["w"][1], is_active=False)
    current.kinds = {"tag"}
    assert change_goal(current, 0, is_active=False)
    assert change_goal(current, 0, key="k")
    with pytest.raises(InvalidConfiguration, match="Referenced tag does not exist"):
        change_goal(current, 1, is_active=True)


def test_missing_objects_raise_not_found() -> None:
    current = configuration(tag(0))
    attempts: list[Callable[[], object]] = [
        lambda: edits.set_active(current, "v", True, ANY_VERSION, catalog(current), NOW),
        lambda: edits.delete_goal(current, "w", UUID(int=7), ANY_VERSION),
        lambda: change_goal(current, 7),
        lambda: edits.delete_entity(current, "tag", "t"),
    ]
    for attempt in attempts:
        with pytest.raises(NotFound):
            attempt()


# The catalog ----------------------------------------------------------------------------


def test_entity_is_created_renamed_and_left_unchanged() -> None:
    current = CurrentConfiguration()
    row = EntityRow("tag", "t", "T")
    assert row_after(edits.put_entity(current, row)) == row
    current.catalog = {"tag": {"t": row}}
    assert edits.put_entity(current, row) == []
    (renamed,) = edits.put_entity(current, EntityRow("tag", "t", "U"))
    assert (renamed.before, renamed.action) == (row, "update")


def test_a_deleted_workflow_is_deleted_after_its_goals() -> None:
    current = configuration(tag(0), tag(1))
    current.active_enrollments = {"w": 0}
    changes = edits.delete_workflow(current, "w", ANY_VERSION)
    assert [change.action for change in changes] == ["delete"] * 3
    assert [change.row for change in changes] == [*current.goals["w"], current.workflows["w"]]


@pytest.mark.parametrize(
    ("active", "number"),
    [
        (1, "1 active enrollment"),
        (2, "2 active enrollments"),
        (10_000, "10,000 or more active enrollments"),
    ],
)
def test_a_workflow_with_active_enrollments_is_not_deleted(active: int, number: str) -> None:
    current = configuration(tag(0))
    current.active_enrollments = {"w": active}
    with pytest.raises(WorkflowInUse, match=rf"The workflow w has {number}\. Deactivate"):
        edits.delete_workflow(current, "w", ANY_VERSION)


def test_a_deletion_compares_the_version() -> None:
    current = configuration(tag(0))
    current.active_enrollments = {"w": 5}
    with pytest.raises(StaleVersion):
        edits.delete_workflow(current, "w", ExpectedVersion(frozenset({2})))
    with pytest.raises(NotFound):
        edits.delete_workflow(current, "w-9", ANY_VERSION)
