"""Generates a year of enrollments of one workflow in Postgres, for benchmarks and query plans."""

from typing import Any

TENANT, WORKFLOW = "acme", "nurture"
SHARDS = ((0, 127), (128, 255))

_ENROLLMENTS = """
INSERT INTO goald.workflow_enrollments (tenant_id, id, contact_id, workflow_id, slot, status,
    enrolled_at, ended_at, last_achieved_at, met_types)
SELECT $1, 'e-' || n, 'c-' || n, $2, $3 + n % 128,
    CASE WHEN took IS NULL THEN 'active' ELSE 'completed_goal' END,
    began, began + took, began + took, CASE WHEN took IS NULL THEN 0 ELSE 1 << n % 3 END
FROM (
    SELECT n, timestamptz '2025-01-01 00:00+00' + n * (interval '365 days' / $5::int) AS began,
        -- Half of them within 12 hours, one in ten longer than two days.
        CASE WHEN n % 5 < 2
            THEN make_interval(secs => 3600 * exp(2.5 + 1.2 * sqrt(-2 * ln(1 - random()))
                * cos(2 * pi() * random())))
        END AS took
    FROM generate_series($4::int + 1, $5::int, 2) n
) made
"""


async def make_year(admin: Any, enrollments: int) -> None:
    """Insert enrollments that started in 2025, evenly distributed. Two of five are completed. Two
    shards commit them. `admin` is a connection as superuser. A million takes about 10 s."""
    for index, (first, last) in enumerate(SHARDS):
        async with admin.transaction():
            await admin.execute(
                "SELECT setseed(0.5), set_config('goald.slots', $1, true)", f"{first}-{last}"
            )
            await admin.execute(
                _ENROLLMENTS, TENANT, WORKFLOW, first, index, enrollments, timeout=300
            )
