"""An execution says in words why it waits."""

import pytest

from goald.api.models.workflows.executions import ExecutionAnswer
from goald.domain.ids import ContactId, EnrollmentId, WorkflowId
from goald.domain.records.execution import Execution, ExecutionStatus
from goald.domain.records.waiting import waiting_reason

DUE = 1_770_000_000_000_000
AT = "2026-02-02T02:40:00.000000Z"


def execution(
    waiting_for: str | None,
    due_at: int | None = None,
    status: ExecutionStatus = "PAUSED",
    connection: str | None = None,
) -> Execution:
    return Execution(
        EnrollmentId("x-1"), WorkflowId("w-1"), ContactId("ann"), 1, status, None, waiting_for,
        "mail", 1, 3, 0, connection, due_at, (), 0, 0, None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (execution("limit", status="QUEUED"), "as many executions at a time as it may"),
        (execution("timer", DUE), f"waits until {AT}"),
        (execution("event"), "waits for an event."),
        (execution("event", DUE), f"an event, until {AT} at most"),
        (execution("retry", DUE), f"repeated at {AT}"),
        (execution("rate_limit", DUE), f"The provider accepts no calls until {AT}"),
        (execution("rate_limit", DUE, connection="mail"), "The connection mail accepts"),
        (
            execution("connection", DUE, connection="mail"),
            f"The connection mail is paused until {AT}",
        ),
        (execution("inactive"), "was not active"),
        (execution(None, status="FAILED"), "has failed"),
    ],
)
def test_the_reason_names_what_it_waits_for(row: Execution, reason: str) -> None:
    assert reason in (waiting_reason(row, is_active=True) or "")


def test_an_inactive_workflow_holds_every_wait() -> None:
    assert "not active" in (waiting_reason(execution("timer", DUE), is_active=False) or "")


@pytest.mark.parametrize("status", ["ACTIVE", "COMPLETED", "CANCELLED"])
def test_an_execution_that_does_not_wait_has_no_reason(status: ExecutionStatus) -> None:
    assert waiting_reason(execution(None, status=status), is_active=False) is None


@pytest.mark.parametrize(("status", "due"), [("PAUSED", AT), ("COMPLETED", None)])
def test_only_a_live_execution_has_a_due_time(status: ExecutionStatus, due: str | None) -> None:
    row = execution("timer", DUE, status=status)
    assert ExecutionAnswer.of(row, is_active=True).due_at == due
