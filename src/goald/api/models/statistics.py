"""Statistics of a workflow's goals, as they are answered."""

from dataclasses import asdict
from datetime import date
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from goald.domain.configuration.goals import GoalType
from goald.domain.statistics import Statistics

_EXAMPLE: dict[str, Any] = {
    "workflow_id": "lead-nurturing",
    "total_enrolled": 1500,
    "goals_achieved": 450,
    "conversion_rate": 30.0,
    "avg_time_to_goal_hours": 72.5,
    "by_goal_type": {
        "tag_added": {"achieved": 200, "conversion_rate": 13.3},
        "purchase_made": {"achieved": 250, "conversion_rate": 16.7},
    },
    "time_to_goal_hours": {"p50": 48.31, "p90": 160.2, "p99": 402.5},
    "by_status": {
        "active": 610,
        "completed_goal": 450,
        "completed": 395,
        "exited": 40,
        "cancelled": 5,
    },
    "cancelled_actions": 1283,
    "unacknowledged_exits": 0,
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
_RATE = "in percent of the enrollments, to one decimal; never above 100"


class TypeOfGoal(BaseModel):
    achieved: int = Field(
        description="enrollments that met a goal of this type, however many of them; also those "
        "that have not met `all` of theirs yet, and those that were ended otherwise since"
    )
    conversion_rate: float = Field(description=_RATE)


class TimeToGoal(BaseModel):
    """Hours within which half, nine of ten and 99 of 100 got to the goal. Null where none did;
    right to within 2.5%."""

    p50: float | None
    p90: float | None
    p99: float | None


class ByStatus(BaseModel):
    active: int
    completed_goal: int
    completed: int
    exited: int
    cancelled: int


class WeekOfEnrollments(BaseModel):
    """The enrollments that began in one week: of its days, those that were asked for."""

    week: date = Field(description="its Monday, in UTC")
    enrolled: int
    goals_achieved: int
    active: int = Field(description="those that may still get to the goal")
    conversion_rate: float = Field(description=_RATE)
    is_young: bool = Field(
        description="Do not compare its rate with those of older weeks: it may still grow much. "
        "True until the week is over; after that, while any of its enrollments is active, for as "
        "long as nine of ten of all that ever got to the goal took"
    )


class GoalStatistics(BaseModel):
    """Of the enrollments that began on the days asked for, whatever became of them since."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    workflow_id: str
    total_enrolled: int
    goals_achieved: int = Field(description="enrollments that the workflow's goals completed")
    conversion_rate: float = Field(description=_RATE)
    avg_time_to_goal_hours: float | None = Field(
        description="from enrollment to the last goal met; null where nobody got there"
    )
    by_goal_type: dict[GoalType, TypeOfGoal] = Field(
        description="the types of the workflow's goals, and of those deleted since that were "
        "achieved. One enrollment may count in several"
    )
    time_to_goal_hours: TimeToGoal
    by_status: ByStatus
    cancelled_actions: int = Field(
        description="actions that exits saved contacts from, as engines acknowledged them"
    )
    unacknowledged_exits: int = Field(
        description="exits that no engine has acknowledged: all of them where engines do not"
    )
    cohorts: list[WeekOfEnrollments] = Field(
        description="by week, the newest ten years; those in which nobody began are left out"
    )

    @classmethod
    def of(cls, workflow_id: str, statistics: Statistics) -> "GoalStatistics":
        return cls.model_validate({"workflow_id": workflow_id, **asdict(statistics)})
