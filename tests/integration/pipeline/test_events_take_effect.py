"""Events that are sent over HTTP to a running daemon take effect as a dry run predicts."""

from typing import Any

import pytest
from tests.support.services.daemon import Daemon

CONFIGURATION = """
tenant: {tenant}
workflows:
  - id: nurture
    name: Nurture
    goal_logic: any
    active: true
    goals:
      - goal_type: purchase_made
        criteria: {{min_amount: 100.10}}
        effective_from: 2026-01-01T00:00:00Z
"""


def payment(amount: str, event_id: str) -> str:
    """A payment as JSON, with the amount as a number."""
    data = f'{{"contact_id": "ann", "amount": {amount}}}'
    return (
        f'{{"id": "{event_id}", "source": "shop", "type": "payment.completed",'
        f' "time": "2026-06-01T00:00:00Z", "data": {data}}}'
    )


@pytest.fixture
def client(daemon: Daemon, tenant: str) -> Any:
    daemon.apply(CONFIGURATION.format(tenant=tenant))
    client = daemon.api.client(tenant)
    client.headers["content-type"] = "application/json"
    return client


def test_an_enrollment_and_a_payment_over_http_cause_an_exit(
    daemon: Daemon, tenant: str, client: Any
) -> None:
    enrolled = client.post(
        "/api/v1/workflows/nurture/enrollments",
        json={
            "enrollment_id": "e-1",
            "contact_id": "ann",
            "enrolled_at": "2026-02-01T00:00:00Z",
        },
    )
    assert enrolled.status_code == 202
    daemon.until_lag_zero()
    below, enough = payment("100.0999", "evt-1"), payment("100.10", "evt-2")

    def explain(event: str) -> tuple[bool, str | None]:
        explanation = client.post("/api/v1/explain", content=event).json()
        [row] = explanation["enrollments"]
        return row["completes"], row["goals"][0]["reason"]

    assert explain(below) == (False, "amount below")
    assert explain(enough) == (True, None)
    assert client.post("/api/v1/events", content=below).status_code == 202
    daemon.until_lag_zero()
    assert daemon.exits(tenant) == []
    assert client.post("/api/v1/events", content=f"[{enough}]").status_code == 202
    daemon.until_lag_zero()
    [exit_] = daemon.exits(tenant)
    assert (exit_.enrollment_id, exit_.contact_id) == ("e-1", "ann")
    explanation = client.post("/api/v1/explain", content=enough).json()
    assert [row["reason"] for row in explanation["enrollments"]] == ["enrollment completed_goal"]


def test_ending_an_enrollment_over_http_causes_no_exit(
    daemon: Daemon, tenant: str, client: Any
) -> None:
    enrollments = "/api/v1/workflows/nurture/enrollments"
    client.post(enrollments, json={"enrollment_id": "e-1", "contact_id": "ann"})
    daemon.until_lag_zero()
    ended = client.post(f"{enrollments}/e-1/end", json={"reason": "cancelled"})
    assert ended.status_code == 202
    daemon.until_lag_zero()
    rows = daemon.sql("SELECT status FROM goald.workflow_enrollments WHERE tenant_id = %s", tenant)
    assert (rows, daemon.exits(tenant)) == ([("cancelled",)], [])
