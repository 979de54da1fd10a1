"""What a workflow's goals brought (R12, E9). Rates are percents of enrollments."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class TypeStatistics:
    """Distinct enrollments with an achievement of one type of goal."""

    achieved: int
    conversion_rate: float


@dataclass(frozen=True, slots=True)
class Cohort:
    """The enrollments that began in one week. `is_young`: many of them may still convert, so
    that its rate is not to be compared with those of older ones."""

    week: date
    """The Monday, in UTC."""
    enrolled: int
    completed: int
    conversion_rate: float
    is_young: bool


@dataclass(frozen=True, slots=True)
class Statistics:
    """Of some days' enrollments in a workflow. Hours to goal are None where none got there;
    percentiles are right to within 2.5%."""

    total_enrolled: int
    goals_achieved: int
    conversion_rate: float
    avg_time_to_goal_hours: float | None
    by_goal_type: Mapping[str, TypeStatistics]
    time_to_goal_hours: Mapping[str, float | None]
    """`p50`, `p90`, `p99`."""
    by_status: Mapping[str, int]
    cancelled_actions: int
    """What exits saved, as engines acknowledged it."""
    unacknowledged_exits: int
    cohorts: Sequence[Cohort]
