"""Questions about ended enrollments are bounded in each group, however many events would ask (E18,
D8)."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from tests.support.pipeline.dict_store import DictStore, Row

from goald import _native
from goald.adapters.memory.clock import ManualClock
from goald.adapters.memory.database import MemoryDatabase
from goald.adapters.memory.store import MemoryShardStore
from goald.domain.times import rfc3339
from goald.pipeline.shard import stored_facts
from goald.pipeline.shard.evaluate import Evaluator
from goald.pipeline.shard.group import SHARE, Group
from goald.pipeline.shard.known.ended import MOST_QUESTIONS
from goald.pipeline.shard_batch import ShardBatch
from goald.ports.change import Committed
from goald.ports.shard_store import EndedCheck, WatchedRuns

NOW_US = 1_772_409_600_000_000
MINUTE_US = 60_000_000
GOAL = {
    "id": "00000000-0000-4000-8000-000000000001", "goal_type": "tag_added",
    "criteria": json.dumps({"tag_name": "customer"}), "is_active": True, "effective_from": 0,
    "created_at": 0, "position": 0,
}  # fmt: skip


class CountingEvaluator(Evaluator):
    evaluations = 0

    def evaluate(self, *arguments: Any) -> _native.Proposal:
        self.evaluations += 1
        return super().evaluate(*arguments)


class Table(DictStore):
    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    async def ended(self, checks: Sequence[EndedCheck]) -> WatchedRuns:
        self.asked += len(checks)
        return await super().ended(checks)

    def enroll(self, contact: str, began: int, ended: int | None = None) -> None:
        """An enrollment of a contact, of some minutes ago."""
        self.rows["acme", f"e-{contact}"] = Row(
            contact, "w", "active" if ended is None else "exited", NOW_US - began * MINUTE_US,
            None if ended is None else NOW_US - ended * MINUTE_US, [], None,
        )  # fmt: skip

    @property
    def late(self) -> int:
        """How many enrollments met their goals after their ends."""
        return sum(row.met_after_end is not None for row in self.rows.values())


def event(kind: str, contact: str, ago: int, **data: Any) -> dict[str, Any]:
    return {
        "id": f"{kind}-{contact}", "source": "shop", "type": kind, "tenantid": "acme",
        "time": rfc3339(NOW_US - ago * MINUTE_US), "data": {"contact_id": contact, **data},
    }  # fmt: skip


def tag(contact: str, ago: int = 5) -> dict[str, Any]:
    return event("contact.tag.added", contact, ago, tag_name="customer")


def end(contact: str) -> dict[str, Any]:
    ids = {"workflow_id": "w", "enrollment_id": f"e-{contact}", "reason": "exited"}
    return event("workflow.enrollment.ended", contact, 10, **ids)


def process(table: Table, events: Sequence[dict[str, Any]]) -> list[tuple[int, int]]:
    """Process events of one tenant, group by group. Returns the evaluations and the questions of
    each group."""
    matcher = _native.Matcher(late_us=60 * MINUTE_US)
    workflow = {"tenant_id": "acme", "workflow_id": "w", "goal_logic": "any", "is_active": True}
    matcher.update_workflows([{**workflow, "goals": [GOAL]}])
    matcher.load(table.copy_active([("acme", row.contact) for row in table.rows.values()]))
    store = MemoryShardStore(MemoryDatabase(), ManualClock())
    evaluator = CountingEvaluator(store, clock_skew_us=0, matcher=matcher)
    entries = [
        [b"%d-%d" % (NOW_US // 1_000, number), [b"event", json.dumps(each).encode()]]
        for number, each in enumerate(events)
    ]
    routed = _native.Router(bytes(_native.SLOTS)).route(entries)
    buffers = [buffer for _, buffer, _ in routed.buffers]
    costs = []
    while buffers:
        batches = [ShardBatch("s", 1, number, 0, each) for number, each in enumerate(buffers)]
        group = Group(batches, (), share=SHARE, event_share=SHARE // 10)
        before = evaluator.evaluations, table.asked
        proposal = asyncio.run(stored_facts.evaluate(evaluator, group, NOW_US, table))
        costs.append((evaluator.evaluations - before[0], table.asked - before[1]))
        marks, _ = table.commit(proposal)
        evaluator.apply(proposal, Committed(marks))
        buffers = [buffer for *_, buffer in proposal.deferred]
    return costs


def test_a_group_asks_as_much_as_the_share_of_its_tenant_allows() -> None:
    """Answered questions have costs too: otherwise, each evaluation would ask again as much."""
    table, contacts = Table(), [f"c-{number}" for number in range(1_200)]
    for contact in contacts:
        table.enroll(contact, 30, ended=10)
    costs = process(table, [tag(contact) for contact in contacts])
    assert table.late == len(contacts)
    assert all(evaluations <= 2 and asked <= 500 for evaluations, asked in costs)


def test_a_group_is_evaluated_a_few_times() -> None:
    """Each answer says that an event counts less than it seemed, which leaves work for others."""
    table, contacts = Table(), [f"c-{number}" for number in range(600)]
    for contact in contacts:
        table.enroll(contact, 30)
        key = _native.event_key("shop", f"contact.tag.added-{contact}")
        table.used["acme", contact, "w"] = {key: NOW_US - 40 * MINUTE_US}
    events = [each for contact in contacts for each in (end(contact), tag(contact))]
    costs = process(table, events)
    assert table.late == 0
    assert {row.status for row in table.rows.values()} == {"exited"}
    assert len(costs) > 1
    assert all(evaluations <= MOST_QUESTIONS + 1 for evaluations, _ in costs)


def test_an_answer_that_changes_nothing_causes_no_evaluation() -> None:
    """The enrollment began after the event, or ended too early, or the event has counted before."""
    for began, ended, counted in ((4, 3, False), (90, 70, False), (30, 10, True)):
        table = Table()
        table.enroll("ann", began, ended)
        if counted:
            table.used["acme", "ann", "w"] = {_native.event_key("shop", tag("ann")["id"]): 0}
        assert process(table, [tag("ann")]) == [(1, 1)]
        assert table.late == 0
