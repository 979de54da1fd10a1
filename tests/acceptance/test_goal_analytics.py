"""Feature: Goal Analytics (R12)."""

from datetime import UTC, datetime, timedelta

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


def test_a_purchase_that_is_reported_after_the_end_counts_without_an_exit(
    scenario: Scenario,
) -> None:
    """Also if it is reported twice, and for a contact that was merged meanwhile (E18)."""
    now = datetime.now(UTC)
    scenario.workflow("winback", "Win back", BOUGHT, effective_from=january(1))
    began = (now - timedelta(minutes=10)).isoformat()
    ended = [
        scenario.enrolled(contact, "winback", enrolled_at=began)
        for contact in ("ann", "old", "cleo", "dora")
    ]
    for enrollment in ended[:3]:
        scenario.ends(enrollment, "completed")
    scenario.happens("contact.merged", "old", into_contact_id="new")
    before_the_end = now - timedelta(minutes=5)
    for contact in ("ann", "new"):
        scenario.happens("payment.completed", contact, at=before_the_end, amount=10)
    scenario.happens("payment.completed", "ann", at=before_the_end, amount=10)
    live = scenario.happens("payment.completed", "dora", at=before_the_end, amount=10)

    scenario.assert_exited_by(live, ended[3])
    for enrollment in ended[:2]:
        assert [row["after_end"] for row in scenario.achievements(enrollment)] == [True]
        assert scenario.status_of(enrollment) == "completed"
        assert scenario.exits(enrollment) == []
    found = scenario.statistics("winback")
    assert (found["conversion_rate"], found["conversion_rate_with_late"]) == (25.0, 75.0)
