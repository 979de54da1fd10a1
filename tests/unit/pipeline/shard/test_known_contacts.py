"""Goals that depend on what a contact had before: new tags of a list (E16), and states that the
contact already has when it is enrolled (E22)."""

import itertools
import json
from functools import partial
from typing import Any

from goald import _native
from goald.adapters.memory.clock import ManualClock
from goald.adapters.memory.database import MemoryDatabase
from goald.adapters.memory.store import MemoryShardStore
from goald.domain.configuration.goals import GoalLogic, GoalType
from goald.domain.leases import SlotLease
from goald.domain.slots import SlotRange
from goald.pipeline.shard import stored_facts
from goald.pipeline.shard.commit import commit
from goald.pipeline.shard.evaluate import Evaluator
from goald.pipeline.shard.group import Group
from goald.pipeline.shard_batch import ShardBatch
from goald.ports.configuration import GoalConfiguration

NOW_US = 1_772_323_200_000_000  # 2026-03-01T00:00:00Z
GOALS = [f"0b9c1f0e-3a52-4a52-9d5e-6a7b8c9d0e1{n}" for n in range(3)]
ADDED, REMOVED, STAGE = "contact.tag.added", "contact.tag.removed", "pipeline.stage.changed"
STARTED, DELETED = "workflow.enrollment.started", "contact.deleted"

_serial = itertools.count()


class Stored:
    """The answers of a store under a lease, and how often contacts were read."""

    def __init__(self, store: MemoryShardStore, lease: SlotLease) -> None:
        self.repeats = partial(store.repeats, lease)
        self.excluded = partial(store.excluded, lease)
        self.ended = partial(store.ended, lease)
        self._contacts = partial(store.contacts, lease)
        self.reads = 0

    async def contacts(self, contacts: Any) -> Any:
        self.reads += 1
        return await self._contacts(contacts)


class Shard:
    """The pipeline from route to commit, over the memory store."""

    def __init__(self, lease: SlotLease, store: MemoryShardStore) -> None:
        self._lease, self._store = lease, store
        self._evaluator = Evaluator(store, clock_skew_us=0)
        self.stored = Stored(store, lease)

    @classmethod
    async def start(cls, *goals: GoalConfiguration, logic: GoalLogic = "any") -> "Shard":
        database = MemoryDatabase()
        database.workflows.append(
            (1, {"tenant_id": "acme", "workflow_id": "w", "goal_logic": logic,
                 "is_active": True, "goals": list(goals)})
        )  # fmt: skip
        store = MemoryShardStore(database, ManualClock(NOW_US))
        shard = cls(await store.acquire(SlotRange(0, 255), "a"), store)
        shard._evaluator.configure(await store.configuration(0))
        return shard

    async def process(self, *events: dict[str, Any]) -> list[tuple[str, list[int]]]:
        """Process events as one group. Returns the enrollments that complete, with the numbers of
        their goals."""
        entries = [
            [f"{NOW_US // 1000 + at}-0".encode(), [b"event", json.dumps(event).encode()]]
            for at, event in enumerate(events)
        ]
        routed = _native.Router(bytes(_native.SLOTS)).route(entries)
        batches = [ShardBatch("s", 1, 0, 0, buffer) for _, buffer, _ in routed.buffers]
        proposal = await stored_facts.evaluate(
            self._evaluator, Group(batches, ()), NOW_US, self.stored
        )
        assert not proposal.rejects
        committed = await commit(self._store, self._lease, proposal, NOW_US)
        if not proposal.changes_nothing:
            self._evaluator.apply(proposal, committed)
        ids, exits = proposal.effects.enrollment_id, proposal.exits
        return [
            (ids[effect], [GOALS.index(goal) for goal in goals])
            for effect, goals in zip(exits.effect, exits.goal_ids, strict=True)
            if committed.effective[effect]
        ]


def event(kind: str, seconds: int = -10, **data: Any) -> dict[str, Any]:
    """An event at this time after NOW_US."""
    return {
        "id": f"ev-{next(_serial)}",
        "source": "crm",
        "type": kind,
        "time": (NOW_US + seconds * 1_000_000) // 1000,
        "tenantid": "acme",
        "data": {"contact_id": "ann", **data},
    }


def start(enrollment: str = "e-1", seconds: int = -20, **data: Any) -> dict[str, Any]:
    return event(STARTED, seconds, workflow_id="w", enrollment_id=enrollment, **data)


def goal(
    number: int = 0, *, goal_type: GoalType = "tag_added", checks: bool = False, **criteria: str
) -> GoalConfiguration:
    return {
        "id": GOALS[number],
        "goal_type": goal_type,
        "criteria": json.dumps(criteria),
        "is_active": True,
        "effective_from": 0,
        "created_at": number,
        "position": number,
        "check_on_enrollment": checks,
    }


async def test_only_new_tags_of_a_list_meet_goals() -> None:
    shard = await Shard.start(goal(tag_name="VIP"))
    await shard.process(event(ADDED, -30, tags=["VIP", "lead"]))
    await shard.process(start())
    assert await shard.process(event(ADDED, tags=["lead", "vip", "other"])) == []
    await shard.process(event(REMOVED, -9, tag_name="vip"))
    assert await shard.process(event(ADDED, -8, tags=["lead", " Vip "])) == [("e-1", [0])]


async def test_tag_that_the_event_itself_names_counts_although_the_contact_had_it() -> None:
    shard = await Shard.start(goal(tag_name="VIP"))
    await shard.process(event(ADDED, -30, tags=["VIP"]), start())
    assert await shard.process(event(ADDED, tag_name="VIP", tags=["VIP"])) == [("e-1", [0])]


async def test_events_of_the_same_group_come_before_a_list() -> None:
    shard = await Shard.start(goal(tag_name="VIP"))
    await shard.process(event(ADDED, -40, tags=["x"]))
    group = [start(), event(ADDED, -30, tag_name="VIP"), event(ADDED, -10, tags=["x", "VIP"])]
    assert await shard.process(*group) == []
    removed = event(REMOVED, -5, tag_name="VIP")
    assert await shard.process(removed, event(ADDED, -4, tags=["vip"])) == [("e-1", [0])]


async def test_list_counts_again_for_an_enrollment_that_arrives_after_it() -> None:
    shard = await Shard.start(goal(tag_name="VIP"))
    early = event(ADDED, tags=["VIP"])
    assert await shard.process(early) == []
    await shard.process(start())
    assert await shard.process(early) == [("e-1", [0])]


async def test_tags_of_a_deleted_contact_are_new_for_its_successor() -> None:
    shard = await Shard.start(goal(tag_name="VIP"))
    await shard.process(event(ADDED, -50, tags=["VIP"]))
    deleted = event(DELETED, -40)
    assert await shard.process(deleted) == []
    await shard.process(start())
    assert await shard.process(event(ADDED, tags=["VIP"])) == [("e-1", [0])]


async def test_enrollment_completes_immediately_if_the_contact_has_the_tag_or_the_stage() -> None:
    stage = goal(1, goal_type="pipeline_stage_reached", checks=True, stage_id="won")
    shard = await Shard.start(goal(checks=True, tag_name="VIP"), stage)
    await shard.process(event(ADDED, -30, tag_name="vip"))
    assert await shard.process(start()) == [("e-1", [0])]
    await shard.process(event(REMOVED, -9, tag_name="VIP"))
    assert await shard.process(start("e-2")) == []
    await shard.process(event(STAGE, -25, pipeline_id="sales", stage_id="won"))
    assert await shard.process(start("e-3")) == [("e-3", [1])]


async def test_goal_that_is_not_checked_is_met_by_events_only() -> None:
    shard = await Shard.start(goal(tag_name="VIP"), goal(1, checks=True, tag_name="other"))
    await shard.process(event(ADDED, -30, tag_name="VIP"))
    assert await shard.process(start()) == []


async def test_states_meet_some_goals_of_a_workflow_that_needs_all() -> None:
    tags = [goal(n, checks=n < 2, tag_name=f"t-{n}") for n in range(3)]
    shard = await Shard.start(*tags, logic="all")
    await shard.process(event(ADDED, -30, tags=["t-0", "t-1", "t-2"]))
    assert await shard.process(start()) == []
    await shard.process(event(REMOVED, -9, tag_name="t-2"))
    assert await shard.process(event(ADDED, -8, tag_name="t-2")) == [("e-1", [0, 1, 2])]


async def test_state_that_the_starting_event_gave_does_not_count() -> None:
    shard = await Shard.start(goal(checks=True, tag_name="lead"))
    cause = event(ADDED, -20, tag_name="lead")
    reference = {"source": cause["source"], "id": cause["id"]}
    assert await shard.process(cause, start(started_by=reference)) == []
    assert await shard.process(start("e-2")) == [("e-2", [0])]


async def test_goal_that_began_later_is_not_met_by_a_state() -> None:
    late = goal(checks=True, tag_name="VIP")
    late["effective_from"] = NOW_US
    shard = await Shard.start(late)
    await shard.process(event(ADDED, -30, tag_name="VIP"))
    assert await shard.process(start()) == []
    assert await shard.process(start("e-2", seconds=0)) == [("e-2", [0])]


async def test_repeated_start_does_not_complete_again() -> None:
    shard = await Shard.start(goal(checks=True, tag_name="VIP"))
    first = start()
    await shard.process(event(ADDED, -30, tag_name="VIP"))
    assert await shard.process(first, first) == [("e-1", [0])]
    assert await shard.process(first) == []


async def test_events_that_use_none_of_it_read_no_contact() -> None:
    shard = await Shard.start(goal(tag_name="VIP"))
    await shard.process(event(ADDED, -30, tags=["other"]), start())
    await shard.process(event(ADDED, tags=["other"]), event(ADDED, tag_name="other"))
    assert await shard.process(event(ADDED, -9, tag_name="VIP")) == [("e-1", [0])]
    assert shard.stored.reads == 0
