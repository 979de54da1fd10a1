"""The response with the statistics of a workflow's goals."""

from dataclasses import asdict
from datetime import date
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from goald.domain.configuration.goals import GoalType
from goald.domain.records.statistics import PERCENTILE_ERROR_PERCENT, Statistics

_EXAMPLE: dict[str, Any] = {
    "workflow_id": "lead-nurturing",
    "total_enrolled": 1500,
    "goals_achieved": 450,
    "conversion_rate": 30.0,
    "avg_time_to_goal_hours": 72.5,
    "avg_time_to_goal_seconds": 261000.0,
    "by_goal_type": {
        "tag_added": {"achieved": 200, "conversion_rate": 13.3},
        "purchase_made": {"achieved": 250, "conversion_rate": 16.7},
    },
    "time_to_goal_hours": {"p50": 48.31, "p90": 160.2, "p99": 402.5},
    "time_to_goal_seconds": {"p50": 173916.0, "p90": 576720.0, "p99": 1449000.0},
    "time_to_goal_error_percent": 2.5,
    "by_status": {
        "active": 610,
        "completed_goal": 450,
        "completed": 395,
        "exited": 40,
        "cancelled": 5,
    },
    "cancelled_actions": 1283,
    "unacknowledged_exits": 0,
    "refunded": 15,
    "net_conversion_rate": 29.0,
    "appointments_cancelled": 0,
    "achieved_after_end": 30,
    "conversion_rate_with_late": 32.0,
    "cohorts": [
        {
            "week": "2026-01-19",
            "enrolled": 1100,
            "goals_achieved": 400,
            "active": 260,
            "conversion_rate": 36.4,
            "is_young": False,
        },
        {
            "week": "2026-01-26",
            "enrolled": 400,
            "goals_achieved": 50,
            "active": 350,
            "conversion_rate": 12.5,
            "is_young": True,
        },
    ],
}
_RATE = "Percentage of the enrollments, to one decimal; at most 100."
_HOUR_DECIMALS = 4
_SECOND_DECIMALS = 3


class GoalTypeCounts(BaseModel):
    achieved: int = Field(
        description="Enrollments that met at least one goal of this type, "
        "including those that have "
        "not met `all` of their goals, and those that ended for another reason."
    )
    conversion_rate: float = Field(description=_RATE)


class TimeToGoal(BaseModel):
    """Percentiles of the time from enrollment to goal, at most 2.5% above or below the exact
    ones (`time_to_goal_error_percent`), because times are counted in steps of 5%. Null without
    achievements."""

    p50: float | None
    p90: float | None
    p99: float | None


class ByStatus(BaseModel):
    active: int
    completed_goal: int
    completed: int
    exited: int
    cancelled: int


class WeekCohort(BaseModel):
    """The enrollments that began in one week, on the requested days."""

    week: date = Field(description="The Monday of the week, in UTC.")
    enrolled: int
    goals_achieved: int
    active: int = Field(description="Enrollments whose status is still `active`.")
    conversion_rate: float = Field(description=_RATE)
    is_young: bool = Field(
        description="The rate may still grow and is not comparable with "
        "older weeks. True until the "
        "week is over, and then, while any of its enrollments is active, for the time within which "
        "90% of all achievements of the workflow occurred."
    )


class GoalStatistics(BaseModel):
    """The statistics of the enrollments that began on the requested days."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    workflow_id: str
    total_enrolled: int
    goals_achieved: int = Field(description="Enrollments that the goals of the workflow completed.")
    conversion_rate: float = Field(description=_RATE)
    avg_time_to_goal_hours: float | None = Field(
        description="The average time from enrollment to the last goal, to four decimals; null "
        "without achievements."
    )
    avg_time_to_goal_seconds: float | None = Field(
        description="The same in seconds, to three decimals."
    )
    by_goal_type: dict[GoalType, GoalTypeCounts] = Field(
        description="The goal types of the workflow, including deleted goals with achievements. An "
        "enrollment may count in several types. Goals that were met after the end do not count."
    )
    time_to_goal_hours: TimeToGoal = Field(description="In hours, within 2.5% of the exact value.")
    time_to_goal_seconds: TimeToGoal = Field(
        description="In seconds, within 2.5% of the exact value."
    )
    time_to_goal_error_percent: float = Field(
        PERCENTILE_ERROR_PERCENT,
        description="The most by which `p50`, `p90` and `p99` differ from the exact percentiles. "
        "Averages and counts are exact.",
    )
    by_status: ByStatus
    cancelled_actions: int = Field(
        description="Actions that exits cancelled, from the acknowledgements."
    )
    unacknowledged_exits: int = Field(
        description="Exits that were not acknowledged. All exits, if the engine never acknowledges."
    )
    refunded: int = Field(
        description="Enrollments that a payment completed which was refunded since "
        "(`payment.refunded`). They stay completed and are included in `goals_achieved`."
    )
    net_conversion_rate: float = Field(
        description="The conversion rate without the refunded enrollments. " + _RATE
    )
    appointments_cancelled: int = Field(
        description="Enrollments that an appointment completed which was cancelled since "
        "(`appointment.cancelled`). They stay completed and are included in both rates."
    )
    achieved_after_end: int = Field(
        description="Enrollments that ended otherwise, and whose goals were met by events that "
        "arrived later. They keep their status and are not included in `goals_achieved`."
    )
    conversion_rate_with_late: float = Field(
        description="The conversion rate with these enrollments. " + _RATE
    )
    cohorts: list[WeekCohort] = Field(
        description="By week, for the newest ten years. Weeks without enrollments are omitted."
    )

    @classmethod
    def of(cls, workflow_id: str, statistics: Statistics) -> "GoalStatistics":
        average = statistics.avg_time_to_goal_hours
        hours = statistics.time_to_goal_hours
        return cls.model_validate(
            {
                **asdict(statistics),
                "workflow_id": workflow_id,
                "avg_time_to_goal_hours": _hours(average),
                "avg_time_to_goal_seconds": _seconds(average),
                "time_to_goal_hours": {name: _hours(value) for name, value in hours.items()},
                "time_to_goal_seconds": {name: _seconds(value) for name, value in hours.items()},
            }
        )


def _hours(hours: float | None) -> float | None:
    return None if hours is None else round(hours, _HOUR_DECIMALS)


def _seconds(hours: float | None) -> float | None:
    return None if hours is None else round(hours * 3_600, _SECOND_DECIMALS)
