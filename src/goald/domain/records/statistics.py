"""Statistics of a workflow (E6, E9), from counts of its enrollments by week.

Rates are percentages of enrollments with one decimal, rounded half up as in SQL. They never
exceed 100, because each enrollment counts once.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from goald.domain.records.enrollment import ENDED

PERCENTILES = (50, 90, 99)
MAX_COHORTS = 520
"""The newest weeks, which are listed one by one. Older weeks count in the totals only, so that
the size of a response does not grow with the range of dates that a tenant sends (D8)."""
STEP = 1.05
"""Times to goal are counted in steps: step n holds those above 1.05^(n-1) and up to 1.05^n
milliseconds, step 0 all shorter ones (goald.time_step)."""
PERCENTILE_ERROR_PERCENT = 2.5
"""The most by which a percentile that is computed from steps differs from the exact one."""

_DAY = timedelta(days=1)
_WEEK = timedelta(weeks=1)
_US_PER_HOUR = 3_600_000_000
_MS_PER_HOUR = 3_600_000


@dataclass(frozen=True, slots=True)
class TypeStatistics:
    """Distinct enrollments with an achievement of one type of goal."""

    achieved: int
    conversion_rate: float


@dataclass(frozen=True, slots=True)
class Cohort:
    """The enrollments that began in one week, as far as the requested days cover the week."""

    week: date
    """The Monday, in UTC."""
    enrolled: int
    goals_achieved: int
    active: int
    conversion_rate: float
    is_young: bool
    """The rate may still grow, so it cannot be compared with those of older weeks."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """Statistics of the enrollments that began on the requested days. Hours to goal are None if
    no enrollment met its goals."""

    total_enrolled: int
    goals_achieved: int
    conversion_rate: float
    avg_time_to_goal_hours: float | None
    """Exact, to six decimals."""
    by_goal_type: Mapping[str, TypeStatistics]
    """Types of the current goals, and of deleted goals that were achieved."""
    time_to_goal_hours: Mapping[str, float | None]
    """`p50`, `p90` and `p99`, within PERCENTILE_ERROR_PERCENT."""
    by_status: Mapping[str, int]
    cancelled_actions: int
    """Actions that exits cancelled, as workflow engines acknowledged them."""
    unacknowledged_exits: int
    refunded: int
    """Enrollments that a payment completed which was refunded since."""
    net_conversion_rate: float
    """The conversion rate without them."""
    appointments_cancelled: int
    """Enrollments that an appointment completed which was cancelled since."""
    achieved_after_end: int
    """Enrollments that ended otherwise, and whose goals were met by events that arrived later
    (E18). They are not in `goals_achieved`."""
    conversion_rate_with_late: float
    """The conversion rate with them."""
    cohorts: Sequence[Cohort]
    """By week, at most MAX_COHORTS. Weeks without enrollments are left out."""


@dataclass(frozen=True, slots=True)
class Week:
    """The counts of a week's enrollments."""

    monday: date | None
    """None for the sum of all weeks before the listed ones."""
    enrolled: int
    ended: Mapping[str, int]
    """By each status of ENDED; the others are active."""
    time_to_goal_us: int
    """The sum over the enrollments that completed by goal, in microseconds."""
    exits_acknowledged: int
    cancelled_actions: int
    refunded: int
    appointments_cancelled: int
    met_after_end: int
    by_goal_type: Mapping[str, int]

    @property
    def active(self) -> int:
        return self.enrolled - sum(self.ended.values())


def statistics_of(
    weeks: Sequence[Week],
    steps: Mapping[int, int],
    steps_ever: Mapping[int, int],
    goal_types: Iterable[str],
    now_us: int,
) -> Statistics:
    """Statistics of these weeks, given in order.

    `steps`: the number of their enrollments by step of the time to goal. `steps_ever`: the same
    over the whole history of the workflow. `goal_types`: the types of its goals.
    """
    total = sum(week.enrolled for week in weeks)
    achieved = sum(week.ended["completed_goal"] for week in weeks)
    refunded = sum(week.refunded for week in weeks)
    late = sum(week.met_after_end for week in weeks)
    time_us = sum(week.time_to_goal_us for week in weeks)
    ended = dict.fromkeys(ENDED, 0) | _total(week.ended for week in weeks)
    types = dict.fromkeys(goal_types, 0) | {
        name: count for name, count in _total(week.by_goal_type for week in weeks).items() if count
    }
    return Statistics(
        total_enrolled=total,
        goals_achieved=achieved,
        conversion_rate=rate(achieved, total),
        avg_time_to_goal_hours=round(time_us / achieved / _US_PER_HOUR, 6) if achieved else None,
        by_goal_type={
            name: TypeStatistics(count, rate(count, total)) for name, count in sorted(types.items())
        },
        time_to_goal_hours={f"p{at}": percentile_hours(steps, at) for at in PERCENTILES},
        by_status={"active": total - sum(ended.values()), **ended},
        cancelled_actions=sum(week.cancelled_actions for week in weeks),
        unacknowledged_exits=achieved - sum(week.exits_acknowledged for week in weeks),
        refunded=refunded,
        net_conversion_rate=rate(achieved - refunded, total),
        appointments_cancelled=sum(week.appointments_cancelled for week in weeks),
        achieved_after_end=late,
        conversion_rate_with_late=rate(achieved + late, total),
        cohorts=_cohorts(weeks, steps_ever, now_us),
    )


def whole_weeks(
    first: date | None, last: date | None
) -> tuple[date | None, date | None, list[date]]:
    """Split a range of days (None: unbounded) into whole weeks and single days.

    Returns the Mondays of the first and the last whole week, and the days before and after
    them. If there is no whole week, the first Monday comes after the last, and every day is a
    single day.
    """
    monday = first + (-first.weekday() % 7) * _DAY if first else None
    sunday = last - ((last.weekday() + 1) % 7) * _DAY if last else None
    last_monday = sunday - 6 * _DAY if sunday else None
    if first and last and monday and last_monday and last_monday < monday:
        return monday, last_monday, _days(first, last)
    before = _days(first, monday - _DAY) if first and monday else []
    after = _days(sunday + _DAY, last) if sunday and last else []
    return monday, last_monday, before + after


def first_cohort(last: date | None, now_us: int) -> date:
    """The Monday of the first of MAX_COHORTS weeks that end with the week of `last`, or of today if
    that is None or later. (One week is reserved for enrollments dated tomorrow.)"""
    today = datetime.fromtimestamp(now_us / 1_000_000, UTC).date()
    newest = min(last or today, today)
    return newest - newest.weekday() * _DAY - (MAX_COHORTS - 2) * _WEEK


def rate(part: int, whole: int) -> float:
    """A percentage with one decimal; 0 if `whole` is 0."""
    return (2000 * part + whole) // (2 * whole) / 10 if whole else 0.0


def percentile_hours(steps: Mapping[int, int], percent: int) -> float | None:
    """A percentile of the times to goal, in hours with four digits; None if there are none.

    Accurate to 2.5% for times of a millisecond and more: the value differs least, in proportion,
    from both ends of its step.
    """
    remaining = -(-sum(steps.values()) * percent // 100)
    for step in sorted(steps):
        remaining -= steps[step]
        if remaining <= 0 < steps[step]:
            milliseconds = STEP**step * 2 / (1 + STEP) if step else 1
            return float(f"{milliseconds / _MS_PER_HOUR:.4g}")
    return None


def _cohorts(weeks: Sequence[Week], steps_ever: Mapping[int, int], now_us: int) -> list[Cohort]:
    """A week is young until it is over, and after that while any of its enrollments is active and
    the 90th percentile of the time to goal has not passed. The percentile is that of the whole
    history, so that the result does not depend on the requested days."""
    now = datetime.fromtimestamp(now_us / 1_000_000, UTC)
    usual = timedelta(hours=percentile_hours(steps_ever, 90) or 0)

    def is_young(monday: date, week: Week) -> bool:
        age = now - datetime.combine(monday, datetime.min.time(), UTC) - _WEEK
        return age < timedelta(0) or (week.active > 0 and age < usual)

    return [
        Cohort(
            week=week.monday,
            enrolled=week.enrolled,
            goals_achieved=week.ended["completed_goal"],
            active=week.active,
            conversion_rate=rate(week.ended["completed_goal"], week.enrolled),
            is_young=is_young(week.monday, week),
        )
        for week in weeks
        if week.monday is not None
    ]


def _days(first: date, last: date) -> list[date]:
    return [first + number * _DAY for number in range((last - first).days + 1)]


def _total(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for by_name in counts:
        for name, count in by_name.items():
            total[name] = total.get(name, 0) + count
    return total
