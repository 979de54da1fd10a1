"""A dry run predicts the effects of an event, in any history (E1 to E6, E8, E11, E16, E18,
E22)."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

from hypothesis import HealthCheck, given, settings
from tests.support.reference.configurations import Configure
from tests.support.reference.histories import History, histories

from goald import _native
from goald.adapters.memory.clock import ManualClock
from goald.adapters.memory.contacts import MemoryContacts
from goald.adapters.memory.database import MemoryDatabase
from goald.adapters.memory.store import MemoryShardStore
from goald.domain.configuration.goals import GoalLogic, GoalType
from goald.domain.errors import InvalidEvent
from goald.domain.leases import SlotLease
from goald.domain.slots import SlotRange
from goald.pipeline.explain import OTHER_TENANT, Explain
from goald.pipeline.shard import stored_facts
from goald.pipeline.shard.commit import commit
from goald.pipeline.shard.evaluate import Evaluator
from goald.pipeline.shard.group import Group
from goald.pipeline.shard_batch import ShardBatch
from goald.pipeline.start_check import StartCheck
from goald.ports.configuration import WorkflowConfiguration

ALL = SlotRange(0, 255)
LATE_US = 45_000_000
Effects = tuple[set[tuple[str, str]], set[str]]
"""New achievements as (enrollment, goal), and completed enrollments."""


class _Stored:
    """The answers of a store under a lease."""

    def __init__(self, store: MemoryShardStore, lease: SlotLease) -> None:
        self.repeats = partial(store.repeats, lease)
        self.excluded = partial(store.excluded, lease)
        self.ended = partial(store.ended, lease)
        self.contacts = partial(store.contacts, lease)


class Shard:
    """The pipeline from route to commit, with the memory store."""

    def __init__(self, history: History) -> None:
        self.database = MemoryDatabase()
        self.now_us = history.now_us
        clock = ManualClock(history.now_us)
        self.store = MemoryShardStore(self.database, clock)
        self.evaluator = Evaluator(self.store, clock_skew_us=history.clock_skew_us, late_us=LATE_US)
        self.router = _native.Router(bytes(_native.SLOTS))
        contacts = MemoryContacts(self.database)
        self.explainer = Explain(
            contacts,
            StartCheck(contacts, max_active=10_000),
            clock,
            clock_skew_us=history.clock_skew_us,
            late_us=LATE_US,
        )

    async def configure(self, step: Configure) -> None:
        workflow: WorkflowConfiguration = {
            "tenant_id": step.tenant,
            "workflow_id": step.workflow_id,
            "goal_logic": cast(GoalLogic, step.goal_logic),
            "is_active": step.is_active,
            "tag_case_sensitive": step.tag_case_sensitive,
            "goals": [
                {
                    "id": goal.id,
                    "goal_type": cast(GoalType, goal.goal_type),
                    "criteria": json.dumps(goal.criteria),
                    "is_active": goal.is_active,
                    "effective_from": goal.effective_from_us,
                    "created_at": goal.created_us,
                    "position": goal.position,
                    "check_on_enrollment": goal.check_on_enrollment,
                    "conversion_window": goal.conversion_window_us,
                }
                for goal in step.goals
            ],
        }
        tenants = self.database.case_sensitive_tenants
        (tenants.add if step.tag_case_sensitive else tenants.discard)(step.tenant)
        version = len(self.database.workflows) + 1
        self.database.workflows.append((version, workflow))
        self.evaluator.configure(await self.store.configuration(after=version - 1))

    async def process(self, lease: SlotLease, event: bytes) -> Effects | None:
        """The effects of an event; None if it is refused."""
        entry_id = b"%d-0" % (self.now_us // 1_000)
        routed = self.router.route([[entry_id, [b"event", event]]])
        batches = [ShardBatch("s", 1, 0, 0, buffer) for _, buffer, _ in routed.buffers]
        stored = _Stored(self.store, lease)
        group = Group(batches, ())
        proposal = await stored_facts.evaluate(self.evaluator, group, self.now_us, stored)
        if routed.rejects or proposal.rejects:
            return None
        committed = await commit(self.store, lease, proposal, self.now_us)
        owners = [(each.effect, each.contact, each.workflow) for each in committed.conflicts]
        if proposal.rejects_given_owners(owners, committed.ended):
            return None
        if not proposal.changes_nothing:
            self.evaluator.apply(proposal, committed)
        enrollments = proposal.effects.enrollment_id
        achieved = zip(proposal.achievements.effect, proposal.achievements.goal_id, strict=True)
        return (
            {(enrollments[at], goal) for at, goal in achieved if committed.effective[at]},
            {enrollments[at] for at in proposal.exits.effect if committed.effective[at]},
        )

    async def explain(self, tenant: str, event: bytes) -> Effects | None:
        try:
            explanation = await self.explainer.explain(tenant, event)
        except InvalidEvent:
            return None
        achieved = {
            (enrollment["enrollment_id"], goal["goal_id"])
            for enrollment in explanation["enrollments"]
            for goal in enrollment["goals"]
            if goal["achieved"]
        }
        _check(explanation)
        completed = {row["enrollment_id"] for row in explanation["enrollments"] if row["completes"]}
        return achieved, completed


def _check(explanation: dict[str, Any]) -> None:
    """A goal has a reason if and only if it is not achieved."""
    assert explanation["matched"] == any(row["matched"] for row in explanation["enrollments"])
    for enrollment in explanation["enrollments"]:
        goals = enrollment["goals"]
        is_matched = any(goal["matched"] for goal in goals) or enrollment["after_end"]
        assert enrollment["matched"] == is_matched
        if enrollment["status"] != "active":
            assert enrollment["matched"] == (enrollment["reason"] is None)
        assert not enrollment["completes"] or enrollment["matched"]
        for goal in goals:
            assert goal["achieved"] == (goal["reason"] is None)
            assert goal["matched"] or not goal["achieved"]


def each_event(
    history: History,
    check: Callable[[Shard, SlotLease, dict[str, Any]], Awaitable[None]],
) -> None:
    """Apply the configurations of a history, and call `check` with each event, in order."""

    async def run() -> None:
        shard = Shard(history)
        lease = await shard.store.acquire(ALL, "a")
        for step in history.steps:
            if isinstance(step, Configure):
                await shard.configure(step)
            else:
                for event in step.events:
                    await check(shard, lease, event)

    asyncio.run(run())


@settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
@given(histories(events=25, ends=True))
def test_a_dry_run_predicts_the_effects_of_an_event(history: History) -> None:
    async def check(shard: Shard, lease: SlotLease, event: dict[str, Any]) -> None:
        try:
            raw = json.dumps(event, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            return
        tenant = event.get("tenantid")
        if not isinstance(tenant, str):
            return
        predicted = await shard.explain(tenant, raw)
        effects = await shard.process(lease, raw)
        # Only the commit finds out whether an enrollment id is in use elsewhere (E5).
        if predicted is not None and effects is None:
            assert "enrollment" in event["type"]
            return
        assert predicted == effects

    each_event(history, check)


@settings(deadline=None, max_examples=20, suppress_health_check=list(HealthCheck))
@given(histories(events=15))
def test_a_dry_run_reveals_nothing_about_the_contacts_of_another_tenant(history: History) -> None:
    async def check(shard: Shard, lease: SlotLease, event: dict[str, Any]) -> None:
        raw = json.dumps(event).encode()
        await shard.process(lease, raw)
        try:
            explanation = await shard.explainer.explain("unknown-tenant", raw)
        except InvalidEvent:
            return
        assert (explanation["reason"], explanation["enrollments"]) == (OTHER_TENANT, [])

    each_event(history, check)
