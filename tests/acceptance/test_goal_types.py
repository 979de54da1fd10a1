"""Feature: Goal Configuration, of each type (R2)."""

from typing import Any

from tests.acceptance.scenario import Scenario


def test_every_goal_type_is_offered(scenario: Scenario) -> None:
    """R2: the types that an editor can choose from."""
    offered = scenario.get("/goal-types")["goal_types"]
    assert {each["goal_type"]: each["event_type"] for each in offered} == {
        "tag_added": "contact.tag.added",
        "purchase_made": "payment.completed",
        "appointment_booked": "appointment.booked",
        "form_submitted": "form.submitted",
        "pipeline_stage_reached": "pipeline.stage.changed",
    }


def test_configure_a_purchase_made_goal_with_amount_criteria(scenario: Scenario) -> None:
    """Scenario: Configure a purchase_made goal with amount criteria."""
    scenario.workflow("upsell", "Upsell Campaign", active=False)
    criteria = {"product_id": None, "min_amount": 100.00}
    assert scenario.adds_goal("upsell", "purchase_made", criteria).is_success
    (goal,) = scenario.goals("upsell")
    assert goal["criteria"] == {"min_amount": 100.00}

    assert scenario.activates("upsell").is_success
    below = scenario.enrolled("below", "upsell")
    above = scenario.enrolled("above", "upsell")
    scenario.happens("payment.completed", "below", amount="99.99")
    bought = scenario.happens("payment.completed", "above", amount="100.01", product_id="any")
    scenario.assert_still_in(below)
    scenario.assert_exited_by(bought, above)


def test_configure_a_form_submitted_goal(scenario: Scenario) -> None:
    """Scenario: Configure a form_submitted goal."""
    scenario.entity("form", "form-123", "Contact Us")
    scenario.workflow("follow-up", "Contact Form Follow-up", active=False)
    answer = scenario.adds_goal("follow-up", "form_submitted", {"form_id": "form-123"})
    assert answer.is_success, answer.text
    (goal,) = scenario.goals("follow-up")
    form = scenario.get(f"/catalog/form/{goal['criteria']['form_id']}")
    assert (form["id"], form["name"]) == ("form-123", "Contact Us")


def test_configure_an_appointment_booked_goal(scenario: Scenario) -> None:
    """Scenario: Configure an appointment_booked goal."""
    scenario.entity("calendar", "cal-456", "Sales Calendar")
    scenario.workflow("consultation", "Consultation Booking", active=False)
    criteria = {"calendar_id": "cal-456", "any_appointment": False}
    assert scenario.adds_goal("consultation", "appointment_booked", criteria).is_success
    (goal,) = scenario.goals("consultation")
    assert goal["criteria"] == {"calendar_id": "cal-456"}

    assert scenario.activates("consultation").is_success
    enrollment = scenario.enrolled("david-lee-id", "consultation")
    scenario.happens("appointment.booked", "david-lee-id", calendar_id="cal-789")
    scenario.happens("appointment.booked", "david-lee-id")
    scenario.assert_still_in(enrollment)
    booked = scenario.happens("appointment.booked", "david-lee-id", calendar_id="cal-456")
    scenario.assert_exited_by(booked, enrollment)


def test_configure_a_pipeline_stage_reached_goal(scenario: Scenario) -> None:
    """Scenario: Configure a pipeline_stage_reached goal."""
    scenario.entity("pipeline", "pipe-123", "Sales Pipeline")
    scenario.entity("stage", "stage-789", "Closed Won")
    scenario.workflow("sales-pipeline", "Sales Pipeline Automation", active=False)
    criteria: dict[str, Any] = {"pipeline_id": "pipe-123", "stage_id": "stage-789"}
    answer = scenario.adds_goal("sales-pipeline", "pipeline_stage_reached", criteria)
    assert answer.is_success, answer.text
    (goal,) = scenario.goals("sales-pipeline")
    assert goal["criteria"] == criteria
    assert scenario.get(f"/catalog/stage/{criteria['stage_id']}")["name"] == "Closed Won"

    assert scenario.activates("sales-pipeline").is_success
    enrollment = scenario.enrolled("grace-taylor-id", "sales-pipeline")
    moved = scenario.happens("pipeline.stage.changed", "grace-taylor-id", **criteria)
    scenario.assert_exited_by(moved, enrollment)
