"""Feature: Goal Achievement - Purchase Made (R4)."""

from typing import Any

import pytest
from tests.acceptance.scenario import Scenario

UPSELL = ("purchase_made", {"min_amount": "100.00"})


@pytest.mark.parametrize("amount", [150.00, "150.00", 100])
def test_contact_makes_qualifying_purchase(scenario: Scenario, amount: Any) -> None:
    """Scenario: Contact makes qualifying purchase."""
    scenario.workflow("upsell", "Upsell Campaign", UPSELL)
    enrollment = scenario.enrolled("alice-smith-id", "upsell")
    bought = scenario.happens("payment.completed", "alice-smith-id", amount=amount, currency="USD")

    workflow_exit = scenario.assert_exited_by(bought, enrollment)
    (achieved,) = scenario.achievements(enrollment)
    assert (achieved["contact_id"], achieved["goal_type"]) == ("alice-smith-id", "purchase_made")
    carried = achieved["trigger_event"]
    assert (carried["amount"], carried["currency"]) == (amount, "USD")
    assert workflow_exit.goal_type == "purchase_made"


@pytest.mark.parametrize("amount", [50.00, "99.9999"])
def test_contact_makes_non_qualifying_purchase(scenario: Scenario, amount: Any) -> None:
    """Scenario: Contact makes non-qualifying purchase."""
    scenario.workflow("upsell", "Upsell Campaign", UPSELL)
    enrollment = scenario.enrolled("bob-jones-id", "upsell")
    scenario.happens("payment.completed", "bob-jones-id", amount=amount)
    scenario.assert_still_in(enrollment)

    bought = scenario.happens("payment.completed", "bob-jones-id", amount="100.00")
    scenario.assert_exited_by(bought, enrollment)


def test_contact_makes_any_purchase_when_any_purchase_is_true(scenario: Scenario) -> None:
    """Scenario: Contact makes any purchase when any_purchase is true."""
    scenario.workflow("first-purchase", "First Purchase", ("purchase_made", {"any_purchase": True}))
    enrollment = scenario.enrolled("charlie-brown-id", "first-purchase")
    bought = scenario.happens("payment.completed", "charlie-brown-id", amount=10.00)
    scenario.assert_exited_by(bought, enrollment)
