"""Feature: Goal Achievement - Form Submitted (R6)."""

from tests.acceptance.scenario import Scenario


def test_contact_submits_target_form(scenario: Scenario) -> None:
    """Scenario: Contact submits target form."""
    scenario.workflow(
        "follow-up", "Contact Form Follow-up", ("form_submitted", {"form_id": "form-123"})
    )
    enrollment = scenario.enrolled("frank-miller-id", "follow-up")
    scenario.happens("form.submitted", "frank-miller-id", form_id="form-124")
    scenario.assert_still_in(enrollment)

    submitted = scenario.happens("form.submitted", "frank-miller-id", form_id="form-123")
    workflow_exit = scenario.assert_exited_by(submitted, enrollment)
    assert workflow_exit.goal_type == "form_submitted"
