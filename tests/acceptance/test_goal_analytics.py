"""Feature: Goal Analytics (R12)."""

from datetime import UTC, datetime

from tests.acceptance.scenario import Scenario

BOUGHT = ("purchase_made", {"any_purchase": True})


def january(day: int) -> datetime:
    return datetime(2026, 1, day, tzinfo=UTC)


def test_track_goal_achievement_metrics(scenario: Scenario) -> None:
    """Scenario: Track goal achievement metrics."""
    # The events are historical: the goal is effective from before them.
    scenario.workflow("conversion", "Lead Conversion", BOUGHT, effective_from=january(1))
    enrollments = [
        scenario.enrolled(f"contact-{day}", "conversion", enrolled_at=january(day).isoformat())
        for day in range(1, 6)
    ]
    for contact in ("contact-1", "contact-2"):
        scenario.happens("payment.completed", contact, at=january(6), amount=10)
    scenario.ends(enrollments[3], "completed")
    assert [scenario.status_of(each) for each in enrollments] == [
        "completed_goal", "completed_goal", "active", "completed", "active",
    ]  # fmt: skip

    found = scenario.statistics("conversion")
    assert found["workflow_id"] == "conversion"
    assert found["total_enrolled"] == 5
    assert found["goals_achieved"] == 2
    assert found["conversion_rate"] == 40.0
    assert found["by_goal_type"] == {"purchase_made": {"achieved": 2, "conversion_rate": 40.0}}


def test_calculate_average_time_to_goal_achievement(scenario: Scenario) -> None:
    """Scenario: Calculate average time to goal achievement."""
    scenario.workflow("conversion", "Lead Conversion", BOUGHT, effective_from=january(1))
    for contact, enrolled, achieved in (("contact-1", 1, 3), ("contact-2", 2, 5)):
        scenario.enrolled(contact, "conversion", enrolled_at=january(enrolled).isoformat())
        scenario.happens("payment.completed", contact, at=january(achieved), amount=10)
    assert scenario.statistics("conversion")["avg_time_to_goal_hours"] == 60
