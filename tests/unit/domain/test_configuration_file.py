"""The file of `goald apply`: values are read exactly, and each fault is reported with its path."""

from decimal import Decimal
from pathlib import Path

import pytest

from goald.configuration.file import parse_configuration, read_configuration
from goald.domain.errors import InvalidFile

HEAD = "tenant: acme\nworkflows:\n- id: w\n  goals:\n"


def faults(text: str) -> list[str]:
    with pytest.raises(InvalidFile) as refused:
        parse_configuration(text)
    return str(refused.value).splitlines()


def test_decimals_are_read_as_they_are_written() -> None:
    text = HEAD + "  - {goal_type: purchase_made, criteria: {min_amount: 0.1, product_id: 1.10}}"
    (goal,) = parse_configuration(text).workflows[0].goals or []
    assert goal.criteria.to_dict() == {"min_amount": Decimal("0.1"), "product_id": "1.10"}


@pytest.mark.parametrize(
    ("time", "us"),
    [
        ("2026-01-01T00:00:00Z", 1_767_225_600_000_000),
        ('"2026-01-01T00:00:00Z"', 1_767_225_600_000_000),
        ("2026-01-01T01:00:00.000001+01:00", 1_767_225_600_000_001),
    ],
)
def test_times_are_read_to_the_microsecond(time: str, us: int) -> None:
    text = HEAD + (
        f"  - goal_type: tag_added\n    criteria: {{tag_name: x}}\n    effective_from: {time}"
    )
    (goal,) = parse_configuration(text).workflows[0].goals or []
    assert goal.effective_from == us


@pytest.mark.parametrize("time", ["2026-01-01", "2026-01-01T00:00:00", "soon", "5"])
def test_times_without_an_offset_are_refused(time: str) -> None:
    text = HEAD + (
        f"  - goal_type: tag_added\n    criteria: {{tag_name: x}}\n    effective_from: {time}"
    )
    (fault,) = faults(text)
    assert fault.startswith("workflows[0].goals[0].effective_from: must be a time")


def test_every_fault_is_reported_with_its_path() -> None:
    text = """
tenant: acme
workflows:
- id: 1
  goals:
  - {goal_type: tag_added, criteria: {}}
  - {goal_type: purchase_made, criteria: {min_amount: 1e3, colour: red}}
  - {goal_type: guess, criteria: {}}
- {id: w, active: "yes", colour: red}
- {active: true}
catalog: {tags: []}
"""
    assert dict(line.split(": ", 1) for line in faults(text)) == {
        "catalog.tags": "unknown kind. Did you mean tag?",
        "workflows[0].id": "must be a string: put it in quotes",
        "workflows[0].goals[0].criteria": "Goal criteria cannot be empty",
        "workflows[0].goals[1].criteria.min_amount": (
            "must be an amount of at most 18 digits, 0 or more, such as 100 or 99.50"
        ),
        "workflows[0].goals[1].criteria.colour": "unknown field",
        "workflows[0].goals[2]": (
            "goal_type must be one of tag_added, purchase_made, appointment_booked, "
            "form_submitted, pipeline_stage_reached"
        ),
        "workflows[1].active": "must be true or false",
        "workflows[1].colour": "unknown field",
        "workflows[2].id": "required but missing",
    }


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            HEAD + "  - {goal_type: purchase_made, criteria: {curency: USD}}",
            "workflows[0].goals[0].criteria.curency: unknown field. Did you mean currency?",
        ),
        (
            HEAD + "  - {goaltype: x, goal_type: tag_added, criteria: {tag_name: x}}",
            "workflows[0].goals[0].goaltype: unknown field. Did you mean goal_type?",
        ),
        (
            "tenant: a\nworkflows: [{id: w, gaols: []}]",
            "workflows[0].gaols: unknown field. Did you mean goals?",
        ),
        ("tenant: a\nworkflow: []", "workflow: unknown field. Did you mean workflows?"),
        (
            "tenant: a\ncatalog: {tag: [{id: t, nam: T, name: T}]}",
            "catalog.tag[0].nam: unknown field. Did you mean name?",
        ),
        (
            "tenant: a\ncatalog: {colours: []}",
            "catalog.colours: unknown kind. "
            "The kinds are tag, form, calendar, service, pipeline, stage, product",
        ),
    ],
)
def test_misspelt_field_is_reported_with_the_nearest_known_one(text: str, fault: str) -> None:
    assert faults(text) == [fault]


def test_four_goals_are_too_many() -> None:
    goals = "".join(
        f"  - {{goal_type: form_submitted, criteria: {{form_id: f-{n}}}}}\n" for n in range(4)
    )
    assert faults(HEAD + goals) == ["workflows[0].goals: Maximum of 3 goals per workflow exceeded"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            HEAD + "  - {goal_type: purchase_made, criteria: {min_amount: 1}}\n"
            "  - {goal_type: purchase_made, criteria: {min_amount: 1.00}}",
            "workflows[0].goals: has the goal purchase_made twice",
        ),
        (
            HEAD + "  - {key: k, goal_type: tag_added, criteria: {tag_name: x}}\n"
            "  - {key: k, goal_type: tag_added, criteria: {tag_name: y}}",
            "workflows[0].goals: has the key k twice",
        ),
        ("tenant: a\nworkflows: [{id: w}, {id: w}]", "workflows: has the workflow w twice"),
        (
            "tenant: a\ncatalog: {tag: [{id: t, name: x}, {id: t, name: y}]}",
            "catalog: has the tag t twice",
        ),
    ],
)
def test_duplicates_are_refused(text: str, fault: str) -> None:
    assert faults(text) == [fault]


@pytest.mark.parametrize(
    "text",
    ["", "- a", "a: [", "tenant: a\ntenant: b", "{[1]: 2}", "tenant: \0", "!!python/name:os x"],
)
def test_other_contents_are_refused(text: str) -> None:
    assert faults(text)


def test_errors_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match=r"cannot read .*gone\.yaml: No such file"):
        read_configuration(tmp_path / "gone.yaml")
    path = tmp_path / "wrong.yaml"
    path.write_text("tenant: 5")
    with pytest.raises(InvalidFile, match=r"wrong\.yaml:\ntenant: must be a string"):
        read_configuration(path)
