"""What a file changes: which goal is which, and what becomes of the others."""

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from goald.domain.configuration.changes import differences
from goald.domain.configuration.desired import read_desired
from goald.domain.configuration.notices import criteria_text, notice, notices_of
from goald.domain.configuration.workflows import (
    ConfigurationChange,
    EntityRow,
    GoalRow,
    HeldConfiguration,
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


def holding(*goals: GoalRow, is_active: bool = True) -> HeldConfiguration:
    return HeldConfiguration({"w": WorkflowRow("w", "W", "any", is_active)}, {"w": list(goals)})


def change(
    held: HeldConfiguration, *goals: dict[str, Any], prune: bool = False, **more: Any
) -> list[ConfigurationChange]:
    ids = iter(range(100, 200))
    wanted = {"tenant": "acme", "workflows": [{"id": "w", "goals": list(goals)}], **more}
    return differences(
        read_desired(wanted), held, prune=prune, now_us=NOW, new_id=lambda: UUID(int=next(ids))
    )


def tag(name: str, **more: Any) -> dict[str, Any]:
    return {"goal_type": "tag_added", "criteria": {"tag_name": name}, **more}


def test_goal_found_by_its_criteria_is_the_same_goal() -> None:
    assert change(holding(goal(0, "x"), goal(1, "y")), tag("y"), tag("x")) == []


def test_amounts_are_compared_by_value() -> None:
    held = GoalRow(
        UUID(int=0), "w", None, 0, "purchase_made", {"min_amount": Decimal("100.00")}, True, 1
    )
    wanted = {"goal_type": "purchase_made", "criteria": {"min_amount": "100"}}
    assert change(holding(held), wanted) == []


def test_key_tells_which_goal_changed() -> None:
    held = goal(0, "x", key="a")
    (found,) = change(holding(held, goal(1, "y", key="b")), tag("z", key="a"))
    assert found.before == held
    assert isinstance(found.after, GoalRow)
    assert (found.after.id, found.after.criteria) == (held.id, {"tag_name": "z"})


def test_goal_without_a_key_is_given_one() -> None:
    (found,) = change(holding(goal(0, "x")), tag("x", key="a"))
    assert isinstance(found.after, GoalRow)
    assert (found.after.id, found.after.key) == (UUID(int=0), "a")


def test_key_is_stronger_than_criteria() -> None:
    """The goal `a` has what was `b`'s criteria, and is still `a`."""
    held = holding(goal(0, "x", key="a"), goal(1, "y", key="b"))
    found = change(held, tag("y", key="a"), tag("x", key="b"))
    assert [(one.row.id, one.action) for one in found] == [
        (UUID(int=0), "update"),
        (UUID(int=1), "update"),
    ]


def test_new_goal_takes_a_free_place_and_is_effective_from_now() -> None:
    (found,) = change(holding(goal(0, "x"), goal(2, "y")), tag("z"))
    assert isinstance(found.after, GoalRow)
    assert (found.after.position, found.after.effective_from) == (1, NOW)


def test_goal_of_a_draft_is_not_yet_effective_unless_somebody_says_so() -> None:
    held = holding(is_active=False)
    one, other = change(held, tag("x"), tag("y", effective_from="2025-12-31T23:59:59.999999Z"))
    assert isinstance(one.after, GoalRow)
    assert isinstance(other.after, GoalRow)
    assert (one.after.effective_from, other.after.effective_from) == (None, NOW - 1)


def test_pruned_goal_makes_room_for_another() -> None:
    held = holding(goal(0, "x"), goal(1, "y"), goal(2, "z"))
    with pytest.raises(InvalidFile, match="Maximum of 3 goals per workflow exceeded"):
        change(held, tag("x"), tag("new"))
    found = change(held, tag("x"), tag("new"), prune=True)
    assert [one.action for one in found] == ["delete", "delete", "create"]


def test_pruning_deactivates_what_the_file_does_not_name() -> None:
    held = holding(goal(0, "x"))
    wanted = read_desired({"tenant": "acme"})
    found = differences(wanted, held, prune=True, now_us=NOW, new_id=lambda: UUID(int=1))
    assert [(one.action, type(one.row)) for one in found] == [
        ("update", WorkflowRow),
        ("delete", GoalRow),
    ]


def test_pruned_entity_is_no_longer_there_to_be_referred_to() -> None:
    held = holding()
    held.catalog = {"form": {name: EntityRow("form", name, name) for name in ("f-1", "f-2")}}
    form = {"goal_type": "form_submitted", "criteria": {"form_id": "f-1"}}
    catalog = {"form": [{"id": "f-2", "name": "f-2"}]}
    assert len(change(held, form, catalog=catalog)) == 1
    with pytest.raises(InvalidFile, match="Referenced form does not exist"):
        change(held, form, catalog=catalog, prune=True)


def test_notices_are_cloud_events() -> None:
    row = goal(7, "x")
    ((workflow, name, data),) = notices_of(ConfigurationChange(row, None))
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
    assert criteria_text(row) == '{"currency":"é\\"","min_amount":100}'
