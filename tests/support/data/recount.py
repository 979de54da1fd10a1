"""Reads the rollups, and computes the same counts from enrollments and achievements row by row.

The triggers must keep both equal (E6, E9).
"""

import math
from collections import Counter, defaultdict
from datetime import date, timedelta
from typing import Any, NamedTuple

import asyncpg

from goald.domain.configuration.goals import TYPE_BITS
from goald.domain.records.enrollment import ENDED
from goald.domain.records.statistics import STEP

_ENROLLMENTS = """
SELECT e.*, goald.us(enrolled_at) AS began, goald.us(ended_at) AS ended,
       (enrolled_at AT TIME ZONE 'UTC')::date AS day
FROM goald.workflow_enrollments e
"""
_ACHIEVEMENTS = """
SELECT tenant_id, workflow_enrollment_id AS id, goal_type, goald.us(achieved_at) AS at
FROM goald.workflow_goal_achievements WHERE NOT after_end
"""
_DAYS = f"""
SELECT tenant_id, workflow_id, day, sum(enrolled) AS enrolled, sum(time_to_goal) AS time_to_goal,
       sum(exits_acknowledged) AS exits_acknowledged, sum(cancelled_actions) AS cancelled_actions,
       sum(refunded) AS refunded, sum(appointments_cancelled) AS appointments_cancelled,
       sum(met_after_end) AS met_after_end,
       {", ".join(f"sum({name}) AS {name}" for name in (*ENDED, *TYPE_BITS))}
FROM goald.workflow_days GROUP BY 1, 2, 3
"""
_TIMES = """
SELECT tenant_id, workflow_id, day, step, sum(enrollments) AS enrollments
FROM goald.workflow_times_to_goal WHERE days = {} GROUP BY 1, 2, 3, 4
"""

FIRST_DAY, LAST_DAY = date(2000, 1, 1), date(2100, 1, 1)
"""Enrollments that began before FIRST_DAY count on it, those after LAST_DAY on that."""

Key = tuple[str, str, date]


class Counts(NamedTuple):
    """Counts by (tenant, workflow, day), without zeros: of each kind, and of enrollments per step
    of the time to goal; the latter also by week."""

    days: dict[Key, dict[str, int]]
    steps: dict[Key, dict[int, int]]
    steps_of_weeks: dict[Key, dict[int, int]]


async def stored_rollups(admin: asyncpg.Connection) -> Counts:
    """The stored rollups, summed over the buckets of all shards."""
    days: dict[Key, dict[str, int]] = {}
    for row in await admin.fetch(_DAYS):
        (_, tenant), (_, workflow), (_, day), *counts = row.items()
        days[tenant, workflow, day] = {name: int(count) for name, count in counts if count}
    return Counts(days, await _stored_steps(admin, 1), await _stored_steps(admin, 7))


async def _stored_steps(admin: asyncpg.Connection, days: int) -> dict[Key, dict[int, int]]:
    steps: dict[Key, dict[int, int]] = defaultdict(dict)
    for tenant, workflow, day, step, enrollments in await admin.fetch(_TIMES.format(days)):
        if enrollments:
            steps[tenant, workflow, day][step] = int(enrollments)
    return dict(steps)


async def recomputed_rollups(admin: asyncpg.Connection) -> Counts:
    """The rollups, computed from enrollments and achievements."""
    achieved: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for row in await admin.fetch(_ACHIEVEMENTS):
        achieved[row["tenant_id"], row["id"]].append(row)
    days: dict[Key, Counter[str]] = defaultdict(Counter)
    steps: dict[Key, Counter[int]] = defaultdict(Counter)
    weeks: dict[Key, Counter[int]] = defaultdict(Counter)
    for row in await admin.fetch(_ENROLLMENTS):
        day = min(max(row["day"], FIRST_DAY), LAST_DAY)
        key = row["tenant_id"], row["workflow_id"], day
        achievements = achieved[row["tenant_id"], row["id"]]
        count = days[key]
        count["enrolled"] += 1
        count.update({achievement["goal_type"] for achievement in achievements})
        count["cancelled_actions"] += row["cancelled_actions"] or 0
        count["exits_acknowledged"] += row["exit_acknowledged_at"] is not None
        count["refunded"] += row["refunded_at"] is not None
        count["appointments_cancelled"] += row["appointment_cancelled_at"] is not None
        count["met_after_end"] += row["met_after_end_at"] is not None
        if row["status"] != "active":
            count[row["status"]] += 1
        if row["status"] == "completed_goal":
            end = max((each["at"] for each in achievements), default=row["ended"])
            time_to_goal = max(0, end - row["began"])
            count["time_to_goal"] += time_to_goal
            steps[key][step_of(time_to_goal)] += 1
            monday = day - timedelta(days=day.weekday())
            weeks[*key[:2], monday][step_of(time_to_goal)] += 1
    return Counts(
        {key: {name: n for name, n in count.items() if n} for key, count in days.items()},
        {key: dict(count) for key, count in steps.items()},
        {key: dict(count) for key, count in weeks.items()},
    )


def step_of(us: int) -> int:
    """The least n for which 1.05^n milliseconds are at least `us`."""
    return math.ceil(math.log(max(us, 1000) / 1000) / math.log(STEP))
