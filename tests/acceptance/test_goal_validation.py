"""Feature: Goal Validation (R13)."""

from tests.acceptance.scenario import Scenario


def test_prevent_workflow_activation_with_invalid_goal(scenario: Scenario) -> None:
    """Scenario: Prevent workflow activation with invalid goal."""
    scenario.workflow(
        "invalid", "Invalid Setup", ("tag_added", {"tag_id": "non-existent-tag"}), active=False
    )
    # The catalog lists the tags; this tag is not in it.
    scenario.entity("tag", "tag-1", "Customer")
    enrollment = scenario.enrolled("john-doe-id", "invalid")

    answer = scenario.activates("invalid")
    assert answer.status_code == 400
    assert answer.json()["detail"] == "Invalid goal configuration: tag does not exist"
    assert not scenario.get("/workflows/invalid")["is_active"]
    assert scenario.audit("workflow.activated", "invalid") == []
    scenario.happens("contact.tag.added", "john-doe-id", tag_id="non-existent-tag")
    scenario.assert_still_in(enrollment)

    scenario.entity("tag", "non-existent-tag", "Here after all")
    assert scenario.activates("invalid").is_success


def test_limit_maximum_goals_per_workflow(scenario: Scenario) -> None:
    """Scenario: Limit maximum goals per workflow."""
    goals = [("tag_added", {"tag_name": name}) for name in ("One", "Two", "Three")]
    current = scenario.workflow("full", "Full", *goals, active=False)
    assert len(current) == 3
    answer = scenario.adds_goal("full", "purchase_made", {"any_purchase": True})
    assert answer.status_code == 400
    assert answer.json()["detail"] == "Maximum of 3 goals per workflow exceeded"
    assert scenario.goals("full") == current
