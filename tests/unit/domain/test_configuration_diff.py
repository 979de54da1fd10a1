"""The changes that a file makes: which goals match, and what happens to the others."""

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from goald.domain.configuration.criteria import criteria_text
from goald.domain.configuration.desired_reader import read_desired
from goald.domain.configuration.diff import diff_configuration
from goald.domain.configuration.notices import notice, notices_for
from goald.domain.configuration.workflows import (
    ConfigurationChange,
    CurrentConfiguration,
    EntityRow,
    GoalRow,
    WorkflowRow,
)
from goald.domain.errors import InvalidFile

NOW = 1_767_225_600_000_000


def goal(number: int, name: str, *, key: str | None = None, position: int | None = None) -> GoalRow:
    return GoalRow(
        UUID(int=number),
        "w",
        key,
        number if position is None else position,
        "tag_added",
        {"tag_name": name},
        True,
        NOW - 5,
    )


def configuration(*goals: GoalRow, is_active: bool = True) -> CurrentConfiguration:
    return CurrentConfiguration({"w": WorkflowRow("w", "W", "any", is_active)}, {"w": list(goals)})


def diff(
    current: CurrentConfiguration, *goals: dict[str, Any], prune: bool = False, **more: Any
) -> list[ConfigurationChange]:
    ids = iter(range(100, 200))
    desired = {"tenant": "acme", "workflows": [{"id": "w", "goals": list(goals)}], **more}
    return diff_configuration(
        read_desired(desired), current, prune=prune, now_us=NOW, new_id=lambda: UUID(int=next(ids))
    )


def tag(name: str, **more: Any) -> dict[str, Any]:
    return {"goal_type": "tag_added", "criteria": {"tag_name": name}, **more}


def test_goals_with_equal_criteria_match() -> None:
    assert diff(configuration(goal(0, "x"), goal(1, "y")), tag("y"), tag("x")) == []


def test_amounts_are_compared_by_value() -> None:
    current = GoalRow(
        UUID(int=0), "w", None, 0, "purchase_made", {"min_amount": Decimal("100.00")}, True, 1
    )
    desired = {"goal_type": "purchase_made", "criteria": {"min_amount": "100"}}
    assert diff(configuration(current), desired) == []


def test_goal_with_the_same_key_is_updated() -> None:
    current = goal(0, "x", key="a")
    (found,) = diff(configuration(current, goal(1, "y", key="b")), tag("z", key="a"))
    assert found.before == current
    assert isinstance(found.after, GoalRow)
    assert (found.after.id, found.after.criteria) == (current.id, {"tag_name": "z"})


def test_goal_without_a_key_gets_one() -> None:
    (found,) = diff(configuration(goal(0, "x")), tag("x", key="a"))
    assert isinstance(found.after, GoalRow)
    assert (found.after.id, found.after.key) == (UUID(int=0), "a")


def test_key_takes_precedence_over_criteria() -> None:
    """The goal `a` takes the criteria of `b`, and keeps its id."""
    current = configuration(goal(0, "x", key="a"), goal(1, "y", key="b"))
    changes = diff(current, tag("y", key="a"), tag("x", key="b"))
    assert [(change.row.id, change.action) for change in changes] == [
        (UUID(int=0), "update"),
        (UUID(int=1), "update"),
    ]


def test_new_goal_takes_a_free_position_and_is_effective_from_now() -> None:
    (found,) = diff(configuration(goal(0, "x"), goal(2, "y")), tag("z"))
    assert isinstance(found.after, GoalRow)
    assert (found.after.position, found.after.effective_from) == (1, NOW)


def test_goal_of_an_inactive_workflow_has_no_effective_from_unless_it_is_set() -> None:
    current = configuration(is_active=False)
    first, second = diff(current, tag("x"), tag("y", effective_from="2025-12-31T23:59:59.999999Z"))
    assert isinstance(first.after, GoalRow)
    assert isinstance(second.after, GoalRow)
    assert (first.after.effective_from, second.after.effective_from) == (None, NOW - 1)


def test_pruned_goal_frees_its_position() -> None:
    current = configuration(goal(0, "x"), goal(1, "y"), goal(2, "z"))
    with pytest.raises(InvalidFile, match="Maximum of 3 goals per workflow exceeded"):
        diff(current, tag("x"), tag("new"))
    changes = diff(current, tag("x"), tag("new"), prune=True)
    assert [change.action for change in changes] == ["delete", "delete", "create"]


def test_prune_deletes_no_workflow_if_the_file_has_no_section_for_them() -> None:
    current = configuration(goal(0, "x"))
    current.active_enrollments = {"w": 0}
    assert (
        diff_configuration(
            read_desired({"tenant": "acme", "sources": []}),
            current,
            prune=True,
            now_us=NOW,
            new_id=lambda: UUID(int=1),
        )
        == []
    )


def test_prune_deletes_workflows_that_are_not_listed() -> None:
    current = configuration(goal(0, "x"))
    current.active_enrollments = {"w": 0}
    changes = diff_configuration(
        read_desired({"tenant": "acme", "workflows": []}),
        current,
        prune=True,
        now_us=NOW,
        new_id=lambda: UUID(int=1),
    )
    assert [(change.action, type(change.row)) for change in changes] == [
        ("delete", GoalRow),
        ("delete", WorkflowRow),
    ]


def test_prune_only_deactivates_a_workflow_with_active_enrollments() -> None:
    current = configuration(goal(0, "x"))
    current.active_enrollments = {"w": 1}
    desired = read_desired({"tenant": "acme", "workflows": []})
    changes = diff_configuration(
        desired, current, prune=True, now_us=NOW, new_id=lambda: UUID(int=1)
    )
    assert [(change.action, type(change.row)) for change in changes] == [
        ("update", WorkflowRow),
        ("delete", GoalRow),
    ]


def test_pruned_entity_cannot_be_referred_to() -> None:
    current = configuration()
    current.catalog = {"form": {name: EntityRow("form", name, name) for name in ("f-1", "f-2")}}
    form = {"goal_type": "form_submitted", "criteria": {"form_id": "f-1"}}
    catalog = {"form": [{"id": "f-2", "name": "f-2"}]}
    assert len(diff(current, form, catalog=catalog)) == 1
    with pytest.raises(InvalidFile, match="Referenced form does not exist"):
        diff(current, form, catalog=catalog, prune=True)


def test_notices_are_cloud_events() -> None:
    row = goal(7, "x")
    ((workflow, name, data),) = notices_for(ConfigurationChange(row, None))
    assert (workflow, name) == ("w", "workflow.goal.deleted")
    text = notice(name, "n-1", "acme", NOW, data)
    assert text.startswith('{"specversion":"1.0","id":"n-1","source":"goald"')
    assert '"time":"2026-01-01T00:00:00.000000Z","tenantid":"acme"' in text
    assert '"criteria":{"tag_name":"x"}' in text


def test_criteria_are_written_without_an_exponent() -> None:
    row = GoalRow(
        UUID(int=0), "w", None, 0, "purchase_made",
        {"currency": 'é"', "min_amount": Decimal("1E+2")}, True, None,
    )  # fmt: skip
    assert criteria_text(row.criteria) == '{"currency":"é\\"","min_amount":100}'
