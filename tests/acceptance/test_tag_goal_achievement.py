"""Feature: Goal Achievement - Tag Added (R3)."""

from tests.acceptance.scenario import Scenario

LEAD_NURTURING = ("tag_added", {"tag_name": "Customer"})


def test_contact_achieves_tag_added_goal(scenario: Scenario) -> None:
    """Scenario: Contact achieves tag_added goal."""
    scenario.workflow("lead-nurturing", "Lead Nurturing", LEAD_NURTURING)
    enrollment = scenario.enrolled("john-doe-id", "lead-nurturing", pending_actions=2)
    tagged = scenario.happens("contact.tag.added", "john-doe-id", tag_name="Customer")

    workflow_exit = scenario.assert_exited_by(tagged, enrollment)
    (achieved,) = scenario.achievements(enrollment)
    assert (achieved["contact_id"], achieved["goal_type"]) == ("john-doe-id", "tag_added")
    assert achieved["trigger_event"]["tag_name"] == "Customer"
    assert "pending_actions" in workflow_exit.cancel
    assert scenario.engine_acknowledges(cancelled_actions=2).id == workflow_exit.id
    assert scenario.enrollment(enrollment)["cancelled_actions"] == 2


def test_contact_receives_non_matching_tag(scenario: Scenario) -> None:
    """Scenario: Contact receives non-matching tag."""
    scenario.workflow("lead-nurturing", "Lead Nurturing", LEAD_NURTURING)
    enrollment = scenario.enrolled("jane-doe-id", "lead-nurturing")
    scenario.happens("contact.tag.added", "jane-doe-id", tag_name="Prospect")
    scenario.assert_still_in(enrollment)

    tagged = scenario.happens("contact.tag.added", "jane-doe-id", tag_name="Customer")
    scenario.assert_exited_by(tagged, enrollment)
