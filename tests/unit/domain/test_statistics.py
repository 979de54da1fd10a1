"""Rates, percentiles and weeks, from counts alone (E9)."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goald.domain.records.enrollment import ENDED
from goald.domain.records.statistics import Week, percentile_hours, rate, statistics_of, whole_weeks

MONDAY = date(2026, 1, 5)
NOW = 1_780_000_000_000_000


@pytest.mark.parametrize(
    ("count", "total", "percent"),
    [
        (2, 5, 40.0),
        (200, 1500, 13.3),
        (250, 1500, 16.7),
        (1, 16, 6.3),  # 6.25: as SQL rounds it
        (1, 2000, 0.1),  # 0.05
        (0, 7, 0.0),
        (7, 7, 100.0),
        (0, 0, 0.0),
    ],
)
def test_rates_have_one_decimal(count: int, total: int, percent: float) -> None:
    assert rate(count, total) == percent


@given(st.integers(1, 10**12), st.data())
def test_no_rate_exceeds_100(whole: int, data: st.DataObject) -> None:
    assert 0.0 <= rate(data.draw(st.integers(0, whole)), whole) <= 100.0


def test_percentile_of_nothing_is_none() -> None:
    assert percentile_hours({}, 50) is None
    assert percentile_hours({7: 0}, 50) is None


def test_percentile_skips_empty_buckets() -> None:
    assert percentile_hours({3: 0, 200: 1, 300: 0}, 99) == percentile_hours({200: 1}, 50)


def test_average_is_none_without_achievements() -> None:
    week = Week(MONDAY, 3, dict.fromkeys(ENDED, 0), 0, 0, 0, 0, 0, 0, {"tag_added": 0})
    found = statistics_of([week], {}, {}, ["form_submitted"], NOW)
    assert found.avg_time_to_goal_hours is None
    assert list(found.by_goal_type) == ["form_submitted"]
    assert found.by_status["active"] == 3


def test_net_rate_leaves_out_what_was_refunded() -> None:
    ended: dict[str, int] = {**dict.fromkeys(ENDED, 0), "completed_goal": 5}
    week = Week(MONDAY, 10, ended, 0, 0, 0, 2, 1, 0, {})
    found = statistics_of([week, week], {}, {}, [], NOW)
    assert (found.refunded, found.appointments_cancelled) == (4, 2)
    assert (found.conversion_rate, found.net_conversion_rate) == (50.0, 30.0)


def test_goals_met_after_the_end_count_in_another_rate() -> None:
    ended: dict[str, int] = {**dict.fromkeys(ENDED, 0), "completed_goal": 5, "completed": 4}
    week = Week(MONDAY, 10, ended, 0, 0, 0, 0, 0, 3, {})
    found = statistics_of([week, week], {}, {}, [], NOW)
    assert (found.goals_achieved, found.achieved_after_end) == (10, 6)
    assert (found.conversion_rate, found.conversion_rate_with_late) == (50.0, 80.0)
    assert found.by_status["completed"] == 8


def test_counts_without_weeks_are_zero() -> None:
    found = statistics_of([], {}, {}, [], NOW)
    assert (found.total_enrolled, found.conversion_rate, found.cohorts) == (0, 0.0, [])
    assert found.by_status == dict.fromkeys(("active", *ENDED), 0)


days = st.dates(date(2025, 12, 1), date(2026, 3, 31))


@given(days, days)
def test_whole_weeks_and_single_days_cover_the_range(day: date, other: date) -> None:
    first, last = sorted((day, other))
    monday, last_monday, single = whole_weeks(first, last)
    assert monday is not None
    assert last_monday is not None
    weeks = []
    while monday <= last_monday:
        assert monday.weekday() == 0
        weeks += [monday + timedelta(days=number) for number in range(7)]
        monday += timedelta(weeks=1)
    expected = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    assert sorted(weeks + single) == expected
    assert len(single) <= 12


@given(days)
def test_open_range_uses_whole_weeks(day: date) -> None:
    assert whole_weeks(None, None) == (None, None, [])
    monday, end, before = whole_weeks(day, None)
    assert end is None
    assert monday == (before[-1] if before else day - timedelta(days=1)) + timedelta(days=1)
    start, last_monday, after = whole_weeks(None, day)
    assert start is None
    assert last_monday is not None
    assert last_monday + timedelta(days=7) == (after[0] if after else day + timedelta(days=1))
