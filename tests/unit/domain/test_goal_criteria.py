"""Criteria are validated strictly: values are kept exactly, and invalid ones are refused."""

from decimal import Decimal
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from goald.domain.configuration.criteria import CRITERIA_BY_TYPE, references
from goald.domain.configuration.goals import GoalType


def read(goal_type: GoalType, criteria: dict[str, Any]) -> dict[str, Any]:
    return CRITERIA_BY_TYPE[goal_type].model_validate(criteria).to_dict()


@pytest.mark.parametrize(
    ("goal_type", "criteria", "kept"),
    [
        ("tag_added", {"tag_name": "Customer"}, {"tag_name": "Customer"}),
        (
            "purchase_made",
            {"product_id": None, "min_amount": "100.00"},
            {"min_amount": Decimal("100.00")},
        ),
        ("purchase_made", {"min_amount": 0}, {"min_amount": Decimal(0)}),
        ("purchase_made", {"any_purchase": True, "min_amount": None}, {"any_purchase": True}),
        (
            "appointment_booked",
            {"calendar_id": "cal-456", "any_appointment": False},
            {"calendar_id": "cal-456"},
        ),
        ("form_submitted", {"form_id": "form-123"}, {"form_id": "form-123"}),
        (
            "pipeline_stage_reached",
            {"pipeline_id": "pipe-123", "stage_id": "stage-789"},
            {"pipeline_id": "pipe-123", "stage_id": "stage-789"},
        ),
    ],
)
def test_only_criteria_that_are_set_are_kept(
    goal_type: GoalType, criteria: dict[str, Any], kept: dict[str, Any]
) -> None:
    assert read(goal_type, criteria) == kept


def test_tag_names_are_normalized() -> None:
    """Otherwise a workflow could have the same goal twice, spelt in two ways (E2)."""
    assert read("tag_added", {"tag_name": "cafe\u0301"}) == {"tag_name": "caf\u00e9"}
    assert read("tag_added", {"tag_id": "cafe\u0301"}) == {"tag_id": "cafe\u0301"}


def test_names_in_match_are_combined_with_any_criterion() -> None:
    """Sorted, so that a workflow cannot have the same goal twice (E17)."""
    names = ["shop", "cart_id", "shop"]
    for goal_type, criteria in (
        ("purchase_made", {"any_purchase": True}),
        ("appointment_booked", {"any_appointment": True}),
        ("form_submitted", {"form_id": "f-1"}),
    ):
        kept = read(cast(GoalType, goal_type), {**criteria, "match": names})
        assert kept == {**criteria, "match": ["cart_id", "shop"]}
        for unset in (None, False):
            kept = read(cast(GoalType, goal_type), {**criteria, "match": unset})
            assert kept == criteria


@pytest.mark.parametrize(
    "names",
    [[], "cart_id", {"cart_id": 1}, ["a", "b", "c", "d", "e"], [""], ["a b"], ["a\n"], [1],
     ["n" * 65], ["caf\u00e9"]],
)  # fmt: skip
def test_invalid_names_in_match_are_refused(names: Any) -> None:
    with pytest.raises(ValidationError, match="1 to"):
        read("purchase_made", {"any_purchase": True, "match": names})


@pytest.mark.parametrize("goal_type", CRITERIA_BY_TYPE)
def test_match_alone_is_no_goal(goal_type: GoalType) -> None:
    with pytest.raises(ValidationError, match="Goal criteria cannot be empty"):
        read(goal_type, {"match": ["cart_id"]})


@pytest.mark.parametrize("goal_type", CRITERIA_BY_TYPE)
def test_empty_criteria_are_refused(goal_type: GoalType) -> None:
    unset = dict.fromkeys(CRITERIA_BY_TYPE[goal_type].model_fields)
    for nothing in ({}, unset):
        with pytest.raises(ValidationError, match="Goal criteria cannot be empty"):
            read(goal_type, nothing)


@pytest.mark.parametrize(
    "amount",
    [True, -1, "-1", "1e5", "1_000", "١٢", "NaN", "Infinity", "", " 1", "1.", ".5", 1.5, [],
     "1000000000000000000", "0.1234567890123456789"],
)  # fmt: skip
def test_inexact_amounts_are_refused(amount: Any) -> None:
    with pytest.raises(ValidationError, match="at most 18 digits"):
        read("purchase_made", {"min_amount": amount})


@given(st.integers(0, 10**18 - 1), st.integers(0, 17))
def test_amounts_are_exact(digits: int, places: int) -> None:
    text = f"{Decimal(digits).scaleb(-places):f}"
    assert read("purchase_made", {"min_amount": text})["min_amount"] == Decimal(text)


@pytest.mark.parametrize(
    ("goal_type", "criteria"),
    [
        ("purchase_made", {"any_purchase": True, "min_amount": 1}),
        ("appointment_booked", {"any_appointment": True, "calendar_id": "cal-456"}),
    ],
)
def test_any_excludes_other_criteria(goal_type: GoalType, criteria: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="cannot be combined"):
        read(goal_type, criteria)


@pytest.mark.parametrize(
    ("goal_type", "criteria"),
    [
        ("tag_added", {"tag_name": "x", "colour": "red"}),
        ("tag_added", {"colour": None}),
        ("tag_added", {"tag_name": ""}),
        ("tag_added", {"tag_name": "nul\0"}),
        ("tag_added", {"tag_name": "\ud800"}),
        ("tag_added", {"tag_id": "i" * 257}),
        ("tag_added", {"tag_id": 7}),
        ("purchase_made", {"any_purchase": "yes"}),
        ("purchase_made", {"any_purchase": 1}),
        ("pipeline_stage_reached", {"pipeline_id": "pipe-123"}),
        ("form_submitted", "form-123"),
    ],
)
def test_invalid_criteria_are_refused(goal_type: GoalType, criteria: Any) -> None:
    with pytest.raises(ValidationError):
        read(goal_type, criteria)


def test_references_include_the_entity_kind() -> None:
    stage = {"pipeline_id": "p", "stage_id": "s"}
    assert sorted(references("pipeline_stage_reached", stage)) == [
        ("pipeline_id", "pipeline", "p"),
        ("stage_id", "stage", "s"),
    ]
    assert list(references("tag_added", {"tag_name": "Customer"})) == []
