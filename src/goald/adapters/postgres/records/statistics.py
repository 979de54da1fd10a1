"""Statistics of a workflow, read from its rollups: a few hundred rows for a year, however many
enrollments it has (E9). The rollups cover at most a hundred years of days: enrollments that
began earlier or later count on the first or the last day (D8)."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from goald.adapters.postgres.tenants import TenantPool
from goald.domain.configuration.goals import TYPE_BITS
from goald.domain.records.enrollment import ENDED
from goald.domain.records.statistics import (
    Statistics,
    Week,
    first_cohort,
    statistics_of,
    whole_weeks,
)
from goald.ports.clock import Clock

WEEKS = f"""
SELECT CASE WHEN day >= $5::date THEN day - (extract(isodow FROM day)::int - 1) END AS monday,
       sum(enrolled)::int8 AS enrolled,
       sum(time_to_goal) AS time_to_goal,
       sum(exits_acknowledged)::int8 AS exits_acknowledged,
       sum(cancelled_actions) AS cancelled_actions,
       sum(refunded)::int8 AS refunded,
       sum(appointments_cancelled)::int8 AS appointments_cancelled,
       sum(met_after_end)::int8 AS met_after_end,
       {", ".join(f"sum({name})::int8 AS {name}" for name in (*ENDED, *TYPE_BITS))}
FROM goald.workflow_days
WHERE tenant_id = $1 AND workflow_id = $2
  AND day BETWEEN coalesce($3::date, '-infinity') AND coalesce($4::date, 'infinity')
GROUP BY monday ORDER BY monday NULLS FIRST
"""
"""The counts of each week that has enrollments, summed over the rollups of all shards. Weeks
before the Monday $5 are summed into one row."""

WORKFLOW = """
SELECT EXISTS (SELECT FROM goald.workflows WHERE tenant_id = $1 AND id = $2)
       OR (SELECT min(day) FROM goald.workflow_days
           WHERE tenant_id = $1 AND workflow_id = $2) IS NOT NULL AS is_known,
       ARRAY (SELECT DISTINCT goal_type FROM goald.workflow_goals
              WHERE tenant_id = $1 AND workflow_id = $2 AND deleted_at IS NULL) AS goal_types,
       coalesce(array_agg(step), '{}') AS steps,
       coalesce(array_agg(requested), '{}') AS requested,
       coalesce(array_agg(ever), '{}') AS ever
FROM (
    SELECT step, sum(requested)::int8 AS requested, sum(ever)::int8 AS ever
    FROM (
        SELECT step, enrollments AS ever,
               CASE WHEN day BETWEEN coalesce($3::date, '-infinity')
                             AND coalesce($4::date, 'infinity')
                    THEN enrollments ELSE 0 END AS requested
        FROM goald.workflow_times_to_goal
        WHERE tenant_id = $1 AND workflow_id = $2 AND days = 7
        UNION ALL
        SELECT step, 0, enrollments
        FROM goald.workflow_times_to_goal
        WHERE tenant_id = $1 AND workflow_id = $2 AND days = 1 AND day = ANY ($5::date[])
    ) AS counted
    GROUP BY step
) AS steps
"""
"""One row: whether the workflow is known, the types of its goals, and its times to goal, both of
the weeks from $3 to $4 (their Mondays) with the days of $5, and of its whole history. (With
EXISTS in place of min(day) the planner may scan the whole table.)"""


class PostgresStatistics:
    """`api.ports.StatisticsReader`. Reads in one transaction with one snapshot. Reads neither
    enrollments nor achievements."""

    def __init__(self, pool: TenantPool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def read(
        self, tenant: str, workflow_id: str, first: date | None, last: date | None
    ) -> Statistics | None:
        of, now_us = (tenant, workflow_id), self._clock.now_us()
        async with self._pool.tenant(tenant, readonly=True) as connection:
            workflow = await connection.fetchrow(WORKFLOW, *of, *whole_weeks(first, last))
            if not workflow["is_known"]:
                return None
            weeks = await connection.fetch(WEEKS, *of, first, last, first_cohort(last, now_us))
        return statistics_of(
            [_week(row) for row in weeks],
            dict(zip(workflow["steps"], workflow["requested"], strict=True)),
            dict(zip(workflow["steps"], workflow["ever"], strict=True)),
            workflow["goal_types"],
            now_us,
        )


def _week(row: Mapping[str, Any]) -> Week:
    return Week(
        monday=row["monday"],
        enrolled=row["enrolled"],
        ended={status: row[status] for status in ENDED},
        time_to_goal_us=int(row["time_to_goal"]),
        exits_acknowledged=row["exits_acknowledged"],
        cancelled_actions=int(row["cancelled_actions"]),
        refunded=row["refunded"],
        appointments_cancelled=row["appointments_cancelled"],
        met_after_end=row["met_after_end"],
        by_goal_type={name: row[name] for name in TYPE_BITS},
    )
