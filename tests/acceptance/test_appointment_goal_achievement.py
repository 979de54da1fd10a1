"""Feature: Goal Achievement - Appointment Booked (R5)."""

from typing import Any

from tests.acceptance.scenario import Scenario

CONSULTATION = ("appointment_booked", {"calendar_id": "cal-456"})


def test_contact_books_appointment_on_specified_calendar(scenario: Scenario) -> None:
    """Scenario: Contact books appointment on specified calendar."""
    scenario.workflow("consultation", "Consultation Booking", CONSULTATION)
    enrollment = scenario.enrolled("david-lee-id", "consultation")
    details: dict[str, Any] = {"calendar_id": "cal-456", "appointment_id": "app-1", "room": "blue"}
    booked = scenario.happens("appointment.booked", "david-lee-id", **details)

    workflow_exit = scenario.assert_exited_by(booked, enrollment)
    assert workflow_exit.goal_type == "appointment_booked"
    (achieved,) = scenario.achievements(enrollment)
    assert achieved["trigger_event"] == {"contact_id": "david-lee-id", **details}


def test_contact_books_appointment_on_different_calendar(scenario: Scenario) -> None:
    """Scenario: Contact books appointment on different calendar."""
    scenario.workflow("consultation", "Consultation Booking", CONSULTATION)
    enrollment = scenario.enrolled("emma-wilson-id", "consultation")
    scenario.happens("appointment.booked", "emma-wilson-id", calendar_id="cal-789")
    scenario.assert_still_in(enrollment)

    booked = scenario.happens("appointment.booked", "emma-wilson-id", calendar_id="cal-456")
    scenario.assert_exited_by(booked, enrollment)
