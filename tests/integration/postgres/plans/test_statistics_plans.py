"""Statistics of a workflow with a million enrollments are read from its rollups alone."""

import os
from typing import Any

import asyncpg
import pytest
from bench.history import TENANT, WORKFLOW, make_year
from tests.support.services.servers import Database

from goald.adapters.memory.clock import ManualClock
from goald.adapters.postgres.records import statistics
from goald.adapters.postgres.tenants import SET_TENANT, TenantPool
from goald.domain.records.statistics import TypeStatistics, rate

ENROLLMENTS = int(os.environ.get("GOALD_TEST_ENROLLMENTS", "1000000"))
_COUNT = """
SELECT count(*) AS enrolled, count(took) AS achieved, extract(epoch FROM avg(took)) / 3600 AS hours,
    percentile_disc(ARRAY[0.5, 0.9, 0.99]) WITHIN GROUP (ORDER BY took) AS percentiles,
    count(*) FILTER (WHERE met_types = 1) AS tag_added,
    count(*) FILTER (WHERE met_types = 2) AS purchase_made,
    count(*) FILTER (WHERE met_types = 4) AS appointment_booked
FROM (SELECT *, ended_at - enrolled_at AS took FROM goald.workflow_enrollments) e
WHERE tenant_id = $1 AND workflow_id = $2
"""


async def copy_for_other_workflows(admin: Any) -> None:
    """Copy the rows to four other workflows, so that a scan of the table is not the best plan."""
    for table in ("workflow_days", "workflow_times_to_goal"):
        await admin.execute(f"CREATE TEMPORARY TABLE copy AS SELECT * FROM goald.{table}")
        for number in range(4):
            await admin.execute(
                f"UPDATE copy SET workflow_id = 'other-{number}';"
                f"INSERT INTO goald.{table} SELECT * FROM copy"
            )
        await admin.execute(f"DROP TABLE copy; ANALYZE goald.{table}")


async def plan(api: Any, statement: str, arguments: int) -> str:
    """The generic plan, which does not depend on the arguments."""
    await api.execute(f"PREPARE planned AS {statement}")
    nothing = ", ".join(["NULL"] * arguments)
    rows = await api.fetch(f"EXPLAIN EXECUTE planned ({nothing})")
    await api.execute("DEALLOCATE planned")
    return "\n".join(row[0] for row in rows)


async def test_statistics_of_a_million_enrollments_are_right_without_scanning_them(
    database: Database,
) -> None:
    admin = await asyncpg.connect(database.admin_dsn)
    pool = TenantPool(database.dsn, 1)
    try:
        await make_year(admin, ENROLLMENTS)
        await copy_for_other_workflows(admin)
        found = await statistics.PostgresStatistics(pool, ManualClock()).read(
            TENANT, WORKFLOW, None, None
        )
        assert found is not None
        truth = await admin.fetchrow(_COUNT, TENANT, WORKFLOW, timeout=120)
        assert found.total_enrolled == truth["enrolled"] == ENROLLMENTS
        assert found.goals_achieved == truth["achieved"]
        assert found.conversion_rate == rate(truth["achieved"], truth["enrolled"])
        assert found.avg_time_to_goal_hours == pytest.approx(float(truth["hours"]), abs=1e-6)
        assert list(found.time_to_goal_hours.values()) == [
            pytest.approx(took.total_seconds() / 3600, rel=0.025) for took in truth["percentiles"]
        ]
        assert found.by_goal_type == {
            name: TypeStatistics(truth[name], rate(truth[name], ENROLLMENTS))
            for name in ("tag_added", "purchase_made", "appointment_booked")
        }
        assert sum(cohort.enrolled for cohort in found.cohorts) == ENROLLMENTS

        async with pool.tenant(TENANT, readonly=True) as api:
            for mode in ("force_generic_plan", "force_custom_plan"):
                await api.execute(f"SET LOCAL plan_cache_mode = {mode}")
                await api.execute(SET_TENANT, TENANT, "")
                for statement, arguments in ((statistics.WEEKS, 5), (statistics.WORKFLOW, 5)):
                    chosen = await plan(api, statement, arguments)
                    assert "workflow_enrollments" not in chosen
                    assert "achievements" not in chosen
                    assert "Seq Scan" not in chosen
    finally:
        await pool.close()
        await admin.close()
