"""Generates events that goals listen to. About half of them meet a goal, the rest is random."""

from typing import Any

from hypothesis import strategies as st
from tests.support.reference.configurations import TAG_NAMES, often, pick
from tests.support.reference.records import Goal

EVENT_OF_GOAL_TYPE = {
    "tag_added": "contact.tag.added",
    "purchase_made": "payment.completed",
    "appointment_booked": "appointment.booked",
    "form_submitted": "form.submitted",
    "pipeline_stage_reached": "pipeline.stage.changed",
}

# Equal to the minimum amounts of the goals, just below, and just above after rounding.
AMOUNTS: tuple[Any, ...] = (
    None, 0, "-0.0", 49, 50, "49.9", "49.90", "049.8999", "-50", 49.9, 49.89995, 49.899949, 50.0,
    1e15, 0.00015, 0.00005, "0.0001", "999999999999999.999", "999999999999999.998", 10**17,
)  # fmt: skip
POOLS: dict[str, dict[str, tuple[Any, ...]]] = {
    "tag_added": {
        "tag_id": (None, "t-1", "t-2", "t-3"),
        "tag_name": (None, *TAG_NAMES),
        "tags": (
            None,
            None,
            [],
            ["Customer", None, "other"],
            ["caf\u00e9", {"tag_id": "t-1"}],
            [{"tag_id": "t-2", "tag_name": "STRASSE"}, "customer ", {"other": 1}],
        ),
    },
    "purchase_made": {
        "amount": AMOUNTS,
        "currency": (None, "EUR", "USD", "eur", " uSd\n", "EURO"),
        "product_id": (None, "p-1", "p-2"),
        "line_items": (
            None,
            [],
            [{"product_id": "p-2"}, {"product_id": None, "quantity": 3}],
            [None, {"quantity": 1}, {"product_id": "p-1", "price": 1.5}],
            [{"product_id": "p-1", "amount": "49.90"}, {"product_id": "p-1", "amount": 50}],
            [{"product_id": "p-2", "amount": "999999999999999.999"}, {"product_id": "p-1"}],
            [{"product_id": "p-1", "amount": 0}, {"product_id": "p-2", "amount": None}],
        ),
    },
    "appointment_booked": {
        "calendar_id": (None, "k-1", "k-2"),
        "service_id": (None, "s-1", "s-2"),
        "status": (None, None, "Confirmed", "show-ed", "booked", "No Show", "canceled", "pending"),
    },
    "form_submitted": {"form_id": (None, "f-1", "f-2", "f-3")},
    "pipeline_stage_reached": {
        "pipeline_id": (None, "pl-1", "pl-2"),
        "stage_id": (None, "st-1", "st-2"),
    },
}


RUN_VALUES: tuple[dict[str, Any] | None, ...] = (
    None, {}, {"cart": "1"}, {"cart": 1, "shop": "eu"}, {"cart": "2", "shop": None},
    {"shop": "us", "cart": 2}, {"cart": "1", "shop": "eu", "x-1": "y", "none": None},
)  # fmt: skip
"""Values that enrollments carry, and goals compare (E17)."""
EVENT_VALUES: dict[str, tuple[Any, ...]] = {
    "cart": ("1", 1, "2", 2, "1", None, 1.0, True, "", ["1"], "\x001"),
    "shop": ("eu", "eu", "us", None, {"id": "eu"}),
}


def values(draw: st.DrawFn) -> dict[str, Any]:
    """Fields that goals may compare with values of enrollments."""
    if not often(draw, 70):
        return {}
    return {name: pick(draw, pool) for name, pool in EVENT_VALUES.items()}


def event(draw: st.DrawFn, goals: tuple[Goal, ...]) -> tuple[str, dict[str, Any]]:
    """The type and data of an event, which meets one of these goals or is random."""
    if goals and often(draw, 65):
        goal = pick(draw, goals)
        return EVENT_OF_GOAL_TYPE[goal.goal_type], meeting(goal)
    goal_type = pick(draw, tuple(POOLS))
    fields = {name: pick(draw, pool) for name, pool in POOLS[goal_type].items()}
    # Null and absent are equivalent; generate both.
    if often(draw, 50):
        fields = {name: value for name, value in fields.items() if value is not None}
    return EVENT_OF_GOAL_TYPE[goal_type], fields


def meeting(goal: Goal) -> dict[str, Any]:
    """Data that just meets the criteria of the goal."""
    data = {
        name: value
        for name, value in goal.criteria.items()
        if name not in ("min_amount", "any_purchase", "any_appointment", "match")
    }
    if "min_amount" in goal.criteria:
        data["amount"] = goal.criteria["min_amount"]
    return data
