"""The JSON Schema of criteria accepts exactly what goald accepts."""

from decimal import Decimal
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator

from goald.domain.configuration.criteria import CRITERIA_BY_TYPE, read_criteria
from goald.domain.configuration.criteria_schema import criteria_schema
from goald.domain.configuration.goals import GoalType
from goald.domain.errors import InvalidConfiguration

GOAL_TYPES: tuple[GoalType, ...] = get_args(GoalType)
TEXTS: list[Any] = [
    "x", "é", "日本", "i" * 128, "", "nul\0", "\x7f", "line\n", "i" * 300, None,
    5, True, False, [], {},
]  # fmt: skip
AMOUNTS: list[Any] = [
    0, 1, Decimal("100.00"), Decimal("0.0000001"), 10**17, 10**18, -1, Decimal("-0.5"), "0",
    "100.00", "0.5", "000.5", "123456789012345678", "1234567890123456789", "0.123456789012345678",
    "0.1234567890123456789", "1e5", "-1", "+1", "1.", ".5", "1_000", "١٢", "NaN", "Infinity", "",
    " 1", True, False, None, [], {},
]  # fmt: skip
FLAGS: list[Any] = [True, False, None, 1, 0, "true"]
CURRENCIES: list[Any] = [
    "USD", "usd", "uSd", "XTS", "HRK", "USD ", " usd", "USD\n", "$", "EURO", "dollars", "ZZZ", "",
    "u\u017fd", None, 5, True, False, [], {},
]  # fmt: skip
STATUSES: list[Any] = [
    "booked", "confirmed", "showed", "Booked", "cancelled", "", None, 5, True, False, [], {},
]  # fmt: skip
VALUES = {
    "status": STATUSES,
    "min_amount": AMOUNTS,
    "currency": CURRENCIES,
    "any_purchase": FLAGS,
    "any_appointment": FLAGS,
}


def corpus() -> list[tuple[GoalType, dict[str, Any]]]:
    """Return each criterion with each value: alone, and with one other criterion."""
    found: list[tuple[GoalType, dict[str, Any]]] = []
    for goal_type in GOAL_TYPES:
        names = list(CRITERIA_BY_TYPE[goal_type].model_fields)
        found += [(goal_type, {}), (goal_type, {"colour": "red"})]
        found.append((goal_type, dict.fromkeys(names)))
        for name in names:
            for value in VALUES.get(name, TEXTS):
                found.append((goal_type, {name: value}))
                for other in names:
                    if other != name:
                        second = VALUES.get(other, TEXTS)[0]
                        found.append((goal_type, {name: value, other: second}))
                found.append((goal_type, {name: value, "colour": None}))
    return found


def is_accepted(goal_type: GoalType, criteria: Any) -> bool:
    try:
        read_criteria(goal_type, criteria)
    except InvalidConfiguration:
        return False
    return True


@pytest.mark.parametrize("goal_type", GOAL_TYPES)
def test_schema_and_service_agree(goal_type: GoalType) -> None:
    schema = criteria_schema(goal_type)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    cases = [criteria for of_type, criteria in corpus() if of_type == goal_type]
    differ = [case for case in cases if validator.is_valid(case) != is_accepted(goal_type, case)]
    assert differ == []
    assert {is_accepted(goal_type, case) for case in cases} == {True, False}


@pytest.mark.parametrize("goal_type", GOAL_TYPES)
def test_every_field_has_a_title_and_a_description(goal_type: GoalType) -> None:
    schema = criteria_schema(goal_type)
    assert set(schema["properties"]) == set(CRITERIA_BY_TYPE[goal_type].model_fields)
    for field in (schema, *schema["properties"].values()):
        assert field["title"]
        assert field["description"]
