"""Feature: Workflow Exit on Goal Achievement (R8).

goald commands, and a workflow engine obeys: what is cancelled is said in the exit, and the
engine says what it has cancelled.
"""

import asyncio
from datetime import UTC, datetime

from tests.acceptance.scenario import Scenario

from goald.client import Exit, ExitReader, event

TAGGED = ("tag_added", {"tag_name": "Customer"})


def test_cancel_pending_actions_on_goal_achievement(scenario: Scenario) -> None:
    """Scenario: Cancel pending actions on goal achievement."""
    scenario.workflow("onboarding", "Onboarding", TAGGED)
    enrollment = scenario.enrolled("henry-adams-id", "onboarding", pending_actions=3)
    tagged = scenario.happens("contact.tag.added", "henry-adams-id", tag_name="Customer")

    left = scenario.assert_went_out_by(tagged, enrollment)
    assert "pending_actions" in left.cancel
    obeyed = asyncio.run(obey(scenario, cancelled_actions=3))
    scenario.daemon.until_lag_zero()
    assert obeyed.id == left.id
    ((pending, cancelled, acknowledged_at),) = scenario.daemon.sql(
        "SELECT pending_actions, cancelled_actions, exit_acknowledged_at"
        " FROM goald.workflow_enrollments WHERE tenant_id = %s AND id = %s",
        scenario.tenant,
        enrollment,
    )
    assert (pending, cancelled) == (3, 3)
    assert acknowledged_at is not None


async def obey(scenario: Scenario, cancelled_actions: int) -> Exit:
    """Read this tenant's exit as an engine does, and say how many actions were cancelled."""
    group = f"engine-of-{scenario.tenant}"
    async with (
        asyncio.timeout(30),
        ExitReader(scenario.daemon.redis_url, group=group, consumer="engine-1") as exits,
    ):
        async for found in exits:
            if found.tenant_id == scenario.tenant:
                await exits.acknowledged(found, cancelled_actions=cancelled_actions)
                return found
    raise AssertionError("the reader ended")


def test_cancel_wait_step_on_goal_achievement(scenario: Scenario) -> None:
    """Scenario: Cancel wait step on goal achievement."""
    scenario.workflow("upsell", "Upsell Campaign", ("purchase_made", {"min_amount": "100.00"}))
    enrollment = scenario.enrolled("ivy-chen-id", "upsell", pending_actions=1)
    bought = scenario.happens("payment.completed", "ivy-chen-id", amount="100.00")
    left = scenario.assert_went_out_by(bought, enrollment)
    assert "wait_steps" in left.cancel


def test_emit_workflow_exit_event_on_goal_achievement(scenario: Scenario) -> None:
    """Scenario: Emit workflow exit event on goal achievement."""
    scenario.workflow("lead-nurturing-id", "Lead Nurturing", TAGGED)
    enrollment = scenario.enrolled("jack-robinson-id", "lead-nurturing-id")
    before = datetime.now(UTC)
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    tagged = event(
        "contact.tag.added",
        scenario.tenant,
        "jack-robinson-id",
        {"tag_name": "Customer"},
        source="crm",
        traceparent=trace,
    )
    scenario.daemon.publish(tagged)
    scenario.daemon.until_lag_zero()

    left = scenario.assert_went_out_by(tagged["id"], enrollment)
    assert (left.workflow_id, left.contact_id) == ("lead-nurturing-id", "jack-robinson-id")
    assert (left.exit_reason, left.goal_type) == ("goal_achieved", "tag_added")
    assert left.cancel == ("pending_actions", "wait_steps")
    ((goal,),) = scenario.daemon.sql(
        "SELECT id::text FROM goald.workflow_goals WHERE tenant_id = %s", scenario.tenant
    )
    assert left.goal_ids == (goal,)
    assert (left.trigger_event.source, left.trigger_event.type) == ("crm", "contact.tag.added")
    assert left.traceparent == trace
    # The three times: of the event, of its arrival, of the command; then somebody reads it.
    assert left.published_at is not None
    assert left.occurred_at == left.achieved_at == datetime.fromisoformat(tagged["time"])
    assert before <= left.occurred_at
    assert left.received_at <= left.published_at <= datetime.now(UTC)
