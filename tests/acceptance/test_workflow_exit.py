"""Feature: Workflow Exit on Goal Achievement (R8).

goald commands, and a workflow engine obeys: what is cancelled is said in the exit, and the
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

    left = scenario.assert_went_out_by(tagged, enrollment)
    assert "pending_actions" in left.cancel
    assert scenario.engine_obeys(cancelled_actions=3).id == left.id
    found = scenario.enrollment(enrollment)
    assert (found["pending_actions"], found["cancelled_actions"]) == (3, 3)
    assert found["exit_acknowledged_at"] is not None
    # What happens from now on is nothing to this enrollment any more.
    scenario.happens("contact.tag.added", "henry-adams-id", tag_name="Customer")
    assert scenario.exits(enrollment) == [left]
    stats = scenario.statistics("onboarding")
    assert (stats["cancelled_actions"], stats["unacknowledged_exits"]) == (3, 0)


def test_cancel_wait_step_on_goal_achievement(scenario: Scenario) -> None:
    """Scenario: Cancel wait step on goal achievement."""
    scenario.workflow("upsell", "Upsell Campaign", ("purchase_made", {"min_amount": "100.00"}))
    enrollment = scenario.enrolled("ivy-chen-id", "upsell", pending_actions=1)
    bought = scenario.happens("payment.completed", "ivy-chen-id", amount="100.00")
    left = scenario.assert_went_out_by(bought, enrollment)
    assert "wait_steps" in left.cancel


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
    left = scenario.assert_went_out_by(tagged["id"], enrollment)
    assert (left.workflow_id, left.contact_id) == ("lead-nurturing-id", "jack-robinson-id")
    assert (left.exit_reason, left.goal_type) == ("goal_achieved", "tag_added")
    assert left.cancel == ("pending_actions", "wait_steps")
    assert left.goal_ids == (goal["id"],)
    assert (left.trigger_event.source, left.trigger_event.type) == ("crm", "contact.tag.added")
    assert left.traceparent == trace
    # The three times: of the event, of its arrival, of the command; then somebody reads it.
    assert left.published_at is not None
    assert left.occurred_at == left.achieved_at == datetime.fromisoformat(tagged["time"])
    assert before <= left.occurred_at
    assert left.received_at <= left.published_at <= datetime.now(UTC)
