"""Feature: Multiple Goals (R11)."""

from tests.acceptance.scenario import Scenario


def test_workflow_with_multiple_goals_any_goal_logic(scenario: Scenario) -> None:
    """Scenario: Workflow with multiple goals - any goal logic."""
    scenario.workflow(
        "multi-goal",
        "Multi-Goal Campaign",
        ("tag_added", {"tag_name": "Customer"}),
        ("purchase_made", {"any_purchase": True}),
        goal_logic="any",
    )
    enrollment = scenario.enrolled("leo-martinez-id", "multi-goal")
    tagged = scenario.happens("contact.tag.added", "leo-martinez-id", tag_name="Customer")
    workflow_exit = scenario.assert_exited_by(tagged, enrollment)
    assert len(workflow_exit.goal_ids) == 1

    # An event for the other goal has no effect: the enrollment has ended.
    scenario.happens("payment.completed", "leo-martinez-id", amount=10)
    assert [each["goal_type"] for each in scenario.achievements(enrollment)] == ["tag_added"]
    assert scenario.exits(enrollment) == [workflow_exit]


def test_workflow_with_multiple_goals_all_goals_logic(scenario: Scenario) -> None:
    """Scenario: Workflow with multiple goals - all goals logic."""
    scenario.workflow(
        "complete-journey",
        "Complete Journey",
        ("tag_added", {"tag_name": "Qualified"}),
        ("appointment_booked", {"any_appointment": True}),
        goal_logic="all",
    )
    enrollment = scenario.enrolled("maria-garcia-id", "complete-journey")
    scenario.happens("contact.tag.added", "maria-garcia-id", tag_name="Qualified")
    assert scenario.status_of(enrollment) == "active"
    assert scenario.exits(enrollment) == []
    assert [each["goal_type"] for each in scenario.achievements(enrollment)] == ["tag_added"]

    booked = scenario.happens("appointment.booked", "maria-garcia-id", calendar_id="cal-1")
    workflow_exit = scenario.assert_exited_by(booked, enrollment)
    achieved = [each["goal_type"] for each in scenario.achievements(enrollment)]
    assert achieved == ["tag_added", "appointment_booked"]
    assert (workflow_exit.goal_type, len(workflow_exit.goal_ids)) == ("appointment_booked", 2)
