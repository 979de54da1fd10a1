"""Feature: Event Listener Lifecycle (R9, R10)."""

from typing import Any

import pytest
from tests.acceptance.scenario import Scenario

TAGGED = ("tag_added", {"tag_name": "Customer"})
BOUGHT = ("purchase_made", {"any_purchase": True})


def test_register_listeners_when_workflow_is_activated(scenario: Scenario) -> None:
    """Scenario: Register listeners when workflow is activated."""
    goals = scenario.workflow("new-campaign", "New Campaign", TAGGED, BOUGHT, active=False)
    early = scenario.enrolled("early", "new-campaign")
    scenario.happens("contact.tag.added", "early", tag_name="Customer")
    scenario.happens("payment.completed", "early", amount=10)
    scenario.assert_still_in(early)
    assert scenario.listeners("new-campaign")["event_types"] == []

    assert scenario.activates("new-campaign").is_success
    found = scenario.listeners("new-campaign")
    assert found["event_types"] == ["contact.tag.added", "payment.completed"]
    assert [each["id"] for each in found["goals"]] == [each["id"] for each in goals]
    assert found["enrollments"] == 1
    reported = scenario.daemon.until(
        "notice", lambda: scenario.daemon.notices(scenario.tenant, "workflow.activated")
    )
    assert [each["workflow_id"] for each in reported] == ["new-campaign"]

    other = scenario.enrolled("other", "new-campaign")
    bystander = scenario.enrolled("bystander", "another-workflow")
    assert scenario.listeners("new-campaign")["enrollments"] == 2
    tagged = scenario.happens("contact.tag.added", "early", tag_name="Customer")
    bought = scenario.happens("payment.completed", "other", amount=10)
    scenario.happens("payment.completed", "bystander", amount=10)
    assert scenario.assert_exited_by(tagged, early).goal_type == "tag_added"
    assert scenario.assert_exited_by(bought, other).goal_type == "purchase_made"
    scenario.assert_still_in(bystander)


def test_unregister_listeners_when_workflow_is_deactivated(scenario: Scenario) -> None:
    """Scenario: Unregister listeners when workflow is deactivated."""
    scenario.workflow("old-campaign", "Old Campaign", TAGGED)
    assert scenario.listeners("old-campaign")["event_types"] == ["contact.tag.added"]
    first = scenario.enrolled("first", "old-campaign")
    second = scenario.enrolled("second", "old-campaign")
    tagged = scenario.happens("contact.tag.added", "first", tag_name="Customer")
    scenario.assert_exited_by(tagged, first)

    scenario.deactivates("old-campaign")
    found = scenario.listeners("old-campaign")
    assert (found["is_active"], found["event_types"], found["goals"]) == (False, [], [])
    reported = scenario.daemon.until(
        "notice", lambda: scenario.daemon.notices(scenario.tenant, "workflow.deactivated")
    )
    # A notice may be published more than once.
    assert {each["workflow_id"] for each in reported} == {"old-campaign"}
    scenario.happens("contact.tag.added", "second", tag_name="Customer")
    scenario.assert_still_in(second)

    assert scenario.activates("old-campaign").is_success
    again = scenario.happens("contact.tag.added", "second", tag_name="Customer")
    scenario.assert_exited_by(again, second)


@pytest.mark.parametrize(
    ("kind", "data", "status"),
    [
        ("ends", {"reason": "completed"}, "completed"),
        ("ends", {"reason": "exited"}, "exited"),
        ("ends", {"reason": "cancelled"}, "cancelled"),
        ("contact.tag.added", {"tag_name": "Customer"}, "completed_goal"),
        ("contact.deleted", {}, "cancelled"),
    ],
)
def test_cleanup_listener_when_contact_exits_workflow(
    scenario: Scenario, kind: str, data: dict[str, Any], status: str
) -> None:
    """Scenario: Cleanup listener when contact exits workflow (for any reason)."""
    scenario.workflow("sales-sequence", "Sales Sequence", TAGGED)
    first = scenario.enrolled("kate-brown-id", "sales-sequence")
    assert scenario.listeners("sales-sequence")["enrollments"] == 1
    if kind == "ends":
        scenario.ends(first, data["reason"])
    else:
        scenario.happens(kind, "kate-brown-id", **data)
    assert scenario.listeners("sales-sequence")["enrollments"] == 0
    assert scenario.status_of(first) == status
    at_the_exit = scenario.achievements(first), scenario.exits(first)

    # Only the enrollment that is there now listens.
    second = scenario.enrolled("kate-brown-id", "sales-sequence", again=":again")
    tagged = scenario.happens("contact.tag.added", "kate-brown-id", tag_name="Customer")
    scenario.assert_exited_by(tagged, second)
    assert scenario.status_of(first) == status
    assert (scenario.achievements(first), scenario.exits(first)) == at_the_exit
    assert len(scenario.exits(first)) == (1 if status == "completed_goal" else 0)
