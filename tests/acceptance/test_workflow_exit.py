"""Feature: Workflow Exit on Goal Achievement (R8).

goald publishes an exit, and the workflow engine processes it: the exit says what to cancel, and the
engine says what it has cancelled.
"""

from datetime import UTC, datetime

from tests.acceptance.scenario import Scenario

from goald.client import event

TAGGED = ("tag_added", {"tag_name": "Customer"})


def test_cancel_pending_actions_on_goal_achievement(scenario: Scenario) -> None:
    """Scenario: Cancel pending actions on goal achievement."""
    scenario.workflow("onboarding", "Onboarding", TAGGED)
    enrollment = scenario.enrolled("henry-adams-id", "onboarding", pending_actions=3)
    tagged = scenario.happens("contact.tag.added", "henry-adams-id", tag_name="Customer")

    workflow_exit = scenario.assert_exited_by(tagged, enrollment)
    assert "pending_actions" in workflow_exit.cancel
    assert scenario.engine_acknowledges(cancelled_actions=3).id == workflow_exit.id
    found = scenario.enrollment(enrollment)
    assert (found["pending_actions"], found["cancelled_actions"]) == (3, 3)
    assert found["exit_acknowledged_at"] is not None
    # Later events have no effect on this enrollment.
    scenario.happens("contact.tag.added", "henry-adams-id", tag_name="Customer")
    assert scenario.exits(enrollment) == [workflow_exit]
    stats = scenario.statistics("onboarding")
    assert (stats["cancelled_actions"], stats["unacknowledged_exits"]) == (3, 0)


def test_cancel_wait_step_on_goal_achievement(scenario: Scenario) -> None:
    """Scenario: Cancel wait step on goal achievement."""
    scenario.workflow("upsell", "Upsell Campaign", ("purchase_made", {"min_amount": "100.00"}))
    enrollment = scenario.enrolled("ivy-chen-id", "upsell", pending_actions=1)
    bought = scenario.happens("payment.completed", "ivy-chen-id", amount="100.00")
    workflow_exit = scenario.assert_exited_by(bought, enrollment)
    assert "wait_steps" in workflow_exit.cancel


def test_emit_workflow_exit_event_on_goal_achievement(scenario: Scenario) -> None:
    """Scenario: Emit workflow exit event on goal achievement."""
    (goal,) = scenario.workflow("lead-nurturing-id", "Lead Nurturing", TAGGED)
    enrollment = scenario.enrolled("jack-robinson-id", "lead-nurturing-id")
    before = datetime.now(UTC)
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    tagged = event(
        "contact.tag.added",
        scenario.tenant,
        "jack-robinson-id",
        {"tag_name": "Customer"},
        source="crm",
        traceparent=trace,
    )
    scenario.sent(tagged)
    workflow_exit = scenario.assert_exited_by(tagged["id"], enrollment)
    assert (workflow_exit.workflow_id, workflow_exit.contact_id) == (
        "lead-nurturing-id",
        "jack-robinson-id",
    )
    assert (workflow_exit.exit_reason, workflow_exit.goal_type) == ("goal_achieved", "tag_added")
    assert workflow_exit.cancel == ("pending_actions", "wait_steps")
    assert workflow_exit.goal_ids == (goal["id"],)
    assert (workflow_exit.trigger_event.source, workflow_exit.trigger_event.type) == (
        "crm",
        "contact.tag.added",
    )
    assert workflow_exit.traceparent == trace
    # Three times, in order: the event, its arrival, the publication of the exit.
    assert workflow_exit.published_at is not None
    assert (
        workflow_exit.occurred_at
        == workflow_exit.achieved_at
        == datetime.fromisoformat(tagged["time"])
    )
    assert before <= workflow_exit.occurred_at
    assert workflow_exit.received_at <= workflow_exit.published_at <= datetime.now(UTC)
