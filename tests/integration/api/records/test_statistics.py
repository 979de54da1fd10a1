"""GET /api/v1/workflows/{workflow_id}/goals/stats."""

import psycopg
import pytest
from tests.support.api.client import Api
from tests.support.services.servers import Database

from goald.domain.records.statistics import MAX_COHORTS

STATS = "/api/v1/workflows/lead-nurturing/goals/stats"
ENROLL = """
INSERT INTO goald.workflow_enrollments (tenant_id, id, contact_id, workflow_id, slot, status,
    enrolled_at, ended_at, last_achieved_at, met_types)
SELECT 'acme', 'e-' || n, 'c-' || n, 'lead-nurturing', 3,
    CASE WHEN is_met THEN 'completed_goal' ELSE 'active' END,
    timestamptz '2026-01-05 00:00+00', timestamptz '2026-01-08 00:30+00' + ended,
    timestamptz '2026-01-08 00:30+00' + ended, is_met::int * CASE WHEN n % 9 < 4 THEN 1 ELSE 2 END
FROM generate_series(1, 1500) n, LATERAL (SELECT n <= 450 AS is_met) m,
    LATERAL (SELECT CASE WHEN is_met THEN interval '0' END AS ended) w
"""


@pytest.fixture
def enrolled(database: Database) -> None:
    """The history behind the example response of the requirements."""
    with psycopg.connect(database.admin_dsn) as admin:
        admin.execute(ENROLL)


@pytest.mark.usefixtures("enrolled")
def test_response_contains_the_example_of_the_specification(api: Api) -> None:
    answer = api.client("acme", "workflows:read").get(STATS)
    assert answer.status_code == 200
    body = answer.json()
    assert {name: body.pop(name) for name in list(body)[:7]} == {
        "workflow_id": "lead-nurturing",
        "total_enrolled": 1500,
        "goals_achieved": 450,
        "conversion_rate": 30.0,
        "avg_time_to_goal_hours": 72.5,
        "avg_time_to_goal_seconds": 261_000.0,
        "by_goal_type": {
            "purchase_made": {"achieved": 250, "conversion_rate": 16.7},
            "tag_added": {"achieved": 200, "conversion_rate": 13.3},
        },
    }
    assert body.pop("time_to_goal_hours") == {
        percentile: pytest.approx(72.5, rel=0.025) for percentile in ("p50", "p90", "p99")
    }
    assert body.pop("time_to_goal_seconds") == {
        percentile: pytest.approx(261_000, rel=0.025) for percentile in ("p50", "p90", "p99")
    }
    assert body.pop("time_to_goal_error_percent") == 2.5
    assert body == {
        "by_status": {
            "active": 1050,
            "completed_goal": 450,
            "completed": 0,
            "exited": 0,
            "cancelled": 0,
        },
        "cancelled_actions": 0,
        "unacknowledged_exits": 450,
        "refunded": 0,
        "net_conversion_rate": 30.0,
        "appointments_cancelled": 0,
        "achieved_after_end": 0,
        "conversion_rate_with_late": 30.0,
        "cohorts": [
            {
                "week": "2026-01-05",
                "enrolled": 1500,
                "goals_achieved": 450,
                "active": 1050,
                "conversion_rate": 30.0,
                "is_young": False,
            }
        ],
    }


@pytest.mark.usefixtures("enrolled")
@pytest.mark.parametrize(
    ("days", "total"),
    [
        ({"from": "2026-01-05", "to": "2026-01-05"}, 1500),
        ({"to": "2026-01-04"}, 0),
        ({"from": "2026-01-06"}, 0),
    ],
)
def test_days_are_selected_by_query(api: Api, days: dict[str, str], total: int) -> None:
    answer = api.client("acme").get(STATS, params=days)
    assert (answer.status_code, answer.json()["total_enrolled"]) == (200, total)


@pytest.mark.usefixtures("enrolled")
def test_workflow_of_another_tenant_is_not_found(api: Api) -> None:
    for tenant, path in (("other", STATS), ("acme", STATS.replace("lead", "another"))):
        answer = api.client(tenant).get(path)
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("days", "wrong"),
    [
        ({"from": "2026-02-01", "to": "2026-01-31"}, "from"),
        ({"from": "2026-02-30"}, "from"),
        ({"to": "1767225600"}, "to"),
        ({"to": "2026-01-01T00:00:00Z"}, "to"),
        ({"to": "9999-12-31"}, "to"),
        ({"from": ""}, "from"),
    ],
)
def test_invalid_days_are_refused(api: Api, days: dict[str, str], wrong: str) -> None:
    answer = api.client("acme").get(STATS, params=days)
    assert answer.status_code == 400
    assert [error["parameter"] for error in answer.json()["errors"]] == [wrong]


def test_token_without_the_scope_is_refused(api: Api) -> None:
    assert api.client("acme", "workflows:edit", "events:write").get(STATS).status_code == 403


def test_committed_achievement_is_in_the_next_response(api: Api, database: Database) -> None:
    client = api.client("acme")
    assert client.get(STATS).status_code == 404
    with psycopg.connect(database.admin_dsn) as admin:
        admin.execute(ENROLL)
    first = client.get(STATS).json()
    with psycopg.connect(database.admin_dsn) as admin:
        admin.execute(
            "UPDATE goald.workflow_enrollments SET status = 'exited', ended_at = now()"
            " WHERE id = 'e-1500'"
        )
    assert client.get(STATS).json()["by_status"] == first["by_status"] | {
        "active": 1049,
        "exited": 1,
    }


def test_number_of_cohorts_is_bounded(api: Api, database: Database) -> None:
    """`enrolled_at` is its sender's: each day is a row, and was a cohort in every answer."""
    with psycopg.connect(database.admin_dsn) as admin:
        admin.execute(
            "INSERT INTO goald.workflow_enrollments (tenant_id, id, contact_id, workflow_id, slot,"
            " status, enrolled_at) SELECT 'acme', 'e-' || n, 'c', 'lead-nurturing', 3, 'active',"
            " date_trunc('week', now()) - n * interval '7 days' FROM generate_series(0, 2000) n"
        )
    client = api.client("acme", "workflows:read")
    body = client.get(STATS).json()
    weeks = [cohort["week"] for cohort in body["cohorts"]]
    assert (body["total_enrolled"], body["by_status"]["active"]) == (2001, 2001)
    assert len(weeks) == MAX_COHORTS - 1
    assert weeks == sorted(weeks), "the newest of them, in order"
    earlier = client.get(STATS, params={"to": weeks[0]}).json()["cohorts"]
    assert len(earlier) == MAX_COHORTS - 1
    assert earlier[-1]["week"] == weeks[0]
