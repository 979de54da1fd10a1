"""Feature: Goal Configuration (R1)."""

import pytest
from tests.acceptance.scenario import Scenario

CUSTOMER = {"tag_name": "Customer"}


def test_configure_a_tag_added_goal_for_a_workflow(scenario: Scenario) -> None:
    """Scenario: Configure a tag_added goal for a workflow."""
    scenario.workflow("lead-nurturing", "Lead Nurturing", active=False)

    answer = scenario.adds_goal("lead-nurturing", "tag_added", CUSTOMER)
    assert answer.is_success, answer.text
    saved = answer.json()
    assert saved["workflow_id"] == "lead-nurturing"
    assert (saved["goal_type"], saved["criteria"]) == ("tag_added", CUSTOMER)
    assert saved["is_active"]
    assert scenario.goals("lead-nurturing") == [saved]
    assert scenario.get(f"/workflows/lead-nurturing/goals/{saved['id']}") == saved

    (entry,) = scenario.audit("goal.created", saved["id"])
    assert (entry["actor"], entry["workflow_id"]) == ("editor-7", "lead-nurturing")
    assert entry["before"] is None
    assert (entry["after"]["goal_type"], entry["after"]["criteria"]) == ("tag_added", CUSTOMER)
    reported = scenario.daemon.until(
        "notice", lambda: scenario.daemon.notices(scenario.tenant, "workflow.goal.configured")
    )
    assert [each["id"] for each in reported] == [saved["id"]]


def test_only_a_user_with_edit_permissions_configures_goals(scenario: Scenario) -> None:
    """Security constraint: Authorization. It applies to every scenario."""
    scenario.workflow("lead-nurturing", "Lead Nurturing", active=False)
    body = {"goal_type": "tag_added", "criteria": CUSTOMER}
    with scenario.daemon.api.client(scenario.tenant, "workflows:read") as reader:
        answer = reader.post("/api/v1/workflows/lead-nurturing/goals", json=body)
    assert answer.status_code == 403
    with scenario.daemon.api.client("another-tenant") as other:
        answer = other.post("/api/v1/workflows/lead-nurturing/goals", json=body)
    assert answer.status_code == 404
    assert scenario.goals("lead-nurturing") == []


@pytest.mark.parametrize("criteria", [{}, {"tag_name": None}, {"tag_id": None, "tag_name": None}])
def test_reject_goal_configuration_with_missing_criteria(
    scenario: Scenario, criteria: dict[str, None]
) -> None:
    """Scenario: Reject goal configuration with missing criteria."""
    scenario.workflow("test-workflow", "Test Workflow", active=False)
    answer = scenario.adds_goal("test-workflow", "tag_added", criteria)
    assert answer.status_code == 400
    assert answer.json()["detail"] == "Goal criteria cannot be empty"
    assert scenario.goals("test-workflow") == []


def test_reject_goal_configuration_referencing_non_existent_entity(scenario: Scenario) -> None:
    """Scenario: Reject goal configuration referencing non-existent entity."""
    scenario.entity("form", "form-123", "Contact Us")
    scenario.workflow("test-workflow", "Test Workflow", active=False)
    answer = scenario.adds_goal("test-workflow", "form_submitted", {"form_id": "non-existent-form"})
    assert answer.status_code == 400
    assert answer.json()["detail"] == "Referenced form does not exist"
    assert scenario.goals("test-workflow") == []
