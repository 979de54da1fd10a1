"""Hypothesis strategies for workflows and goals, with few values so that they collide.

All tenants use the same ids, also for goals, so that a leak between tenants is visible.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar
from uuid import UUID

from hypothesis import strategies as st
from tests.support.reference.records import Goal

T = TypeVar("T")

START_US = 1_772_323_200_000_000  # 2026-03-01T00:00:00Z
SECOND_US = 1_000_000
TENANTS = ("acme", "globex", "initech")
WORKFLOWS = ("w-1", "w-2", "w-3", "w-4")
GOALS_KEPT = 3
# The events of a history happen within 25 s and arrive after 60 s.
WINDOWS_US = (None, None, None, 1 * SECOND_US, 55 * SECOND_US, 86_400 * SECOND_US)
GOAL_SLOTS = 5

# Some are equal without regard to case, after NFC normalisation, or without spaces around them.
TAG_NAMES = ("Customer", " customer", "caf\u00e9", "CAFE\u0301", "Stra\u00dfe", "STRASSE\u00a0")

CRITERIA: dict[str, tuple[dict[str, Any], ...]] = {
    "tag_added": (
        {"tag_id": "t-1"},
        {"tag_id": "t-1", "match": ["cart"]},
        {"tag_id": "t-2", "tag_name": "Customer"},
        {"tag_name": "Customer"},
        {"tag_id": None, "tag_name": "caf\u00e9"},
        {"tag_name": "cafe\u0301"},
        {"tag_name": "strasse"},
    ),
    "purchase_made": (
        {"any_purchase": True},
        {"any_purchase": True, "match": ["cart", "shop"]},
        {"min_amount": 50, "match": ["cart"]},
        {"any_purchase": False, "min_amount": "49.90"},
        {"min_amount": 50},
        {"min_amount": "0.0001", "currency": "EUR"},
        {"product_id": "p-1"},
        {"product_id": "p-2", "min_amount": "999999999999999.999"},
        {"product_id": "p-1", "min_amount": "49.90", "currency": "usd"},
        {"product_id": "p-1", "min_amount": 0},
        {"min_amount": "0.00"},
        {"currency": "USD"},
    ),
    "appointment_booked": (
        {"any_appointment": True},
        {"calendar_id": "k-1"},
        {"calendar_id": "k-1", "service_id": "s-1", "any_appointment": False},
        {"service_id": "s-2"},
        {"status": "confirmed"},
        {"calendar_id": "k-1", "status": "booked"},
    ),
    "form_submitted": (
        {"form_id": "f-1"},
        {"form_id": "f-2"},
        {"form_id": "f-1", "match": ["shop"]},
        {"form_id": "f-2", "match": None},
    ),
    "pipeline_stage_reached": (
        {"pipeline_id": "pl-1", "stage_id": "st-1"},
        {"pipeline_id": "pl-2", "stage_id": "st-2"},
        {"stage_id": "st-2"},
    ),
}
GOAL_TYPES = tuple(CRITERIA)


@dataclass(frozen=True)
class Configure:
    """A change of a workflow: the arguments of `Model.configure` (E8)."""

    tenant: str
    workflow_id: str
    goal_logic: str
    is_active: bool
    goals: tuple[Goal, ...]
    exits_missed: bool = False
    """If it is active: what it missed while it was paused counts (E19)."""
    is_deleted: bool = False
    """The workflow is deleted. The arguments have no effect."""
    tag_case_sensitive: bool = False
    """The setting of the tenant, of which every workflow is configured when it changes (E16)."""


@cache
def _below(count: int) -> st.SearchStrategy[int]:
    return st.integers(0, count - 1)


def pick(draw: st.DrawFn, choices: Sequence[T]) -> T:
    """One of the choices. Shrinks towards the first."""
    return choices[draw(_below(len(choices)))]


def often(draw: st.DrawFn, percent: int) -> bool:
    """True in about `percent` of all cases. Shrinks towards False."""
    return draw(_below(100)) >= 100 - percent


def goal(draw: st.DrawFn, workflow_id: str, slot: int) -> Goal:
    """A goal of a workflow. The same slot always has the same goal id."""
    goal_type = pick(draw, GOAL_TYPES)
    checks = goal_type in ("tag_added", "pipeline_stage_reached") and often(draw, 30)
    effective_us: int | None = START_US - SECOND_US
    if often(draw, 15):
        effective_us = pick(draw, (START_US + 5 * SECOND_US, START_US + 20 * SECOND_US, None))
    return Goal(
        id=str(UUID(int=WORKFLOWS.index(workflow_id) * GOAL_SLOTS + slot + 1, version=4)),
        goal_type=goal_type,
        criteria=pick(draw, CRITERIA[goal_type]),
        is_active=not often(draw, 15),
        effective_from_us=effective_us,
        # Some goals have the same creation time, so that the position decides the order.
        created_us=START_US - (2, 3, 2, 1, 3)[slot] * SECOND_US,
        position=slot,
        check_on_enrollment=checks,
        conversion_window_us=pick(draw, WINDOWS_US),
    )


def configure(draw: st.DrawFn, tenant: str, workflow_id: str) -> Configure:
    """A workflow with 0 to 3 goals, mostly active."""
    first = draw(_below(GOAL_SLOTS))
    slots = [(first + n) % GOAL_SLOTS for n in range(pick(draw, (1, 2, 3, 2, 3, 0)))]
    return Configure(
        tenant=tenant,
        workflow_id=workflow_id,
        goal_logic=pick(draw, ("any", "all")),
        is_active=not often(draw, 25),
        exits_missed=often(draw, 70),
        goals=tuple(goal(draw, workflow_id, slot) for slot in slots[:GOALS_KEPT]),
    )
