"""The differences between two versions, and the steps at which executions continue."""

from typing import Any

from goald.domain.definitions.differences import StepChange, compare_definitions, continuations
from goald.domain.definitions.readers.definition import read_definition
from goald.domain.definitions.steps import WorkflowDefinition


def definition(*steps: dict[str, Any]) -> WorkflowDefinition:
    read = read_definition({"steps": [*steps]})
    assert read.faults == ()
    assert read.definition is not None
    return read.definition


def steps(ids: str) -> list[dict[str, Any]]:
    return [{"id": step_id, "action": "noop"} for step_id in ids]


def branch(step_id: str, then: str, otherwise: str = "", tag: str = "VIP") -> dict[str, Any]:
    return {
        "id": step_id,
        "condition": {"has_tag": tag},
        "then": steps(then),
        "else": steps(otherwise),
    }


def changes(old: WorkflowDefinition, new: WorkflowDefinition) -> dict[str, StepChange]:
    return {each.step_id: each.change for each in compare_definitions(old, new)}


def test_an_equal_definition_keeps_every_step() -> None:
    same = definition(*steps("a"), branch("c", "x", "y"))
    assert changes(same, same) == dict.fromkeys("acxy", "kept")
    assert continuations(same, same) == {step_id: step_id for step_id in "acxy"}


def test_steps_are_added_removed_and_changed() -> None:
    old = definition(*steps("ab"), branch("c", "x"))
    new = definition(*steps("an"), branch("c", "x", tag="Other"))
    assert changes(old, new) == {
        "a": "kept",
        "n": "added",
        "c": "changed",
        "x": "kept",
        "b": "removed",
    }


def test_as_few_steps_as_possible_are_moved() -> None:
    old, new = definition(*steps("abcd")), definition(*steps("dabc"))
    assert changes(old, new) == {"d": "moved", "a": "kept", "b": "kept", "c": "kept"}


def test_a_step_in_another_branch_is_moved() -> None:
    old = definition(branch("c", "xy", "z"))
    new = definition(branch("c", "x", "zy"))
    assert changes(old, new) == {"c": "kept", "x": "kept", "z": "kept", "y": "moved"}


def test_an_execution_continues_at_the_next_step_that_survives() -> None:
    old, new = definition(*steps("abcd")), definition(*steps("ad"))
    assert continuations(old, new) == {"a": "a", "b": "d", "c": "d", "d": "d"}


def test_without_a_surviving_step_the_execution_is_completed() -> None:
    old, new = definition(*steps("ab")), definition(*steps("a"))
    assert continuations(old, new) == {"a": "a", "b": None}


def test_the_end_of_a_branch_continues_after_the_condition() -> None:
    old = definition(*steps("a"), branch("c", "xy"), *steps("z"))
    new = definition(*steps("a"), branch("c", "x"), *steps("z"))
    assert continuations(old, new)["y"] == "z"


def test_the_branches_of_a_removed_step_are_not_entered() -> None:
    old = definition(branch("c", "x", "y"), *steps("z"))
    new = definition(*steps("xyz"))
    assert continuations(old, new) == {"c": "z", "x": "x", "y": "y", "z": "z"}


def test_the_difference_says_where_a_removed_step_continues() -> None:
    old, new = definition(*steps("abc")), definition(*steps("ac"))
    removed = compare_definitions(old, new)[-1]
    assert (removed.step_id, removed.change, removed.continues_at) == ("b", "removed", "c")


def test_a_branch_that_leaves_the_workflow_is_not_the_way_on() -> None:
    leaves = {"id": "c", "condition": {"has_tag": "VIP"}, "then": [{"id": "e", "exit": True}]}
    old = definition(*steps("a"), leaves | {"else": steps("y")}, *steps("z"))
    assert continuations(old, definition(*steps("yz")))["c"] == "y"
    assert continuations(old, definition(*steps("z")))["c"] == "z"
    assert continuations(old, definition(*steps("z")))["e"] is None


def test_a_step_before_an_exit_is_completed_with_it() -> None:
    leaves = {
        "id": "c",
        "condition": {"has_tag": "VIP"},
        "then": [*steps("x"), {"id": "e", "exit": True}],
    }
    old = definition(leaves, *steps("z"))
    assert continuations(old, definition(*steps("z")))["x"] is None
