"""The Rust matcher gives the same results as the plain model of the rules (E1 to E6, E8, E11, E16,
E18, E19, E21, E22), for any batches and encoding, with duplicates, times out of order and reloads
in between; whatever share of work a tenant has in one call, from however many enrollments on a
contact is indexed, however few active ones it may have, and whether or not the contacts with ended
enrollments are loaded."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from types import MappingProxyType
from typing import Any

import msgpack
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.pipeline.dict_merges import DictMerges
from tests.support.pipeline.dict_store import DictStore
from tests.support.reference import Goal, Model
from tests.support.reference.configurations import SECOND_US, TENANTS, Configure
from tests.support.reference.criteria import GOAL_TYPE_OF_EVENT
from tests.support.reference.histories import NOW_US, Batch, History, change, histories
from tests.support.reference.records import Outcome

from goald import _native
from goald.adapters.memory.clock import ManualClock
from goald.adapters.memory.database import MemoryDatabase
from goald.adapters.memory.store import MemoryShardStore
from goald.domain.contacts.forwards import forward_key
from goald.pipeline.shard import stored_facts
from goald.pipeline.shard.evaluate import Evaluator
from goald.pipeline.shard.group import Group
from goald.pipeline.shard_batch import Origin, ShardBatch

RECEIVED_MS = NOW_US // 1_000
SECRET = "secret"
Numbered = tuple[int, dict[str, Any]]
"""An event, and its number in its batch."""


class Shard:
    """The matcher, with a table to commit to."""

    def __init__(
        self,
        clock_skew_us: int,
        now_us: int,
        share: int,
        high_fanout_above: int,
        max_enrollments: int,
        late_us: int,
        loads: bool,
    ) -> None:
        self.share = share
        self.loads = loads
        self.matcher = _native.Matcher(
            clock_skew_us=clock_skew_us,
            high_fanout_above=high_fanout_above,
            max_enrollments_per_contact=max_enrollments,
            late_us=late_us,
        )
        self.matcher.keep_contacts(TENANTS)
        self.matcher.set_forward_secret(SECRET)
        self.store = DictStore()
        self.merges = DictMerges(self.store)
        self.evaluator = Evaluator(
            MemoryShardStore(MemoryDatabase(), ManualClock()),
            clock_skew_us=0,
            matcher=self.matcher,
        )
        # Small buffers, so that a batch is several of them.
        self.router = _native.Router(bytes(_native.SLOTS), max_buffer=1_500)
        self.now_us = now_us
        self.acknowledged = 0
        self.reversed: list[tuple[str, str, str, str | None]] = []

    def configure(self, step: Configure) -> None:
        if step.is_deleted:
            self.matcher.remove_workflows([(step.tenant, step.workflow_id)])
            self._load_ended()
            return
        self.store.distinguish_tags(step.tenant, step.tag_case_sensitive)
        changed = {
            "tenant_id": step.tenant,
            "tag_case_sensitive": step.tag_case_sensitive,
            "workflow_id": step.workflow_id,
            "goal_logic": step.goal_logic,
            "is_active": step.is_active,
            "goals": [_goal(goal) for goal in step.goals],
        }
        self.matcher.update_workflows([changed])
        self._load_ended()
        if step.is_active:
            self._replay_missed(step)

    def _load_ended(self) -> None:
        """Load the contacts with ended enrollments (E18), if so. Otherwise any may have some."""
        while self.loads and (missing := self.matcher.ended_to_load(self.now_us)) is not None:
            tenant, generation, _, first = missing
            rows = self.store.ends(tenant)
            self.matcher.add_ended(tenant, generation, rows, first, self.now_us)

    def _replay_missed(self, step: Configure) -> None:
        """Events that the workflow missed while it was paused count or are forgotten (E19)."""
        missed = {
            key: self.store.missed.pop(key)
            for key in list(self.store.missed)
            if (key[0], self.store.rows[key].workflow) == (step.tenant, step.workflow_id)
        }
        if not step.exits_missed:
            return
        entries = dict.fromkeys((entry, payload) for _, entry, payload, _ in missed.values())
        routed = self.router.route([[entry, [b"event", payload]] for entry, payload in entries])
        buffers = [buffer for _, buffer, _ in routed.buffers]
        only = [(*key, event) for key, (event, *_) in missed.items()]
        old_tags = {(key[0], event): old for key, (event, _, _, old) in missed.items()}
        proposal = self._evaluate([(buffer, ()) for buffer in buffers], only, old_tags)
        assert not proposal.missed_runs
        self._commit(proposal)

    def _commit(self, proposal: _native.Proposal) -> list[bytes]:
        """The entries refused. In slices; small ones here, so that most have several."""
        refused = []
        for piece in proposal.slices(3, 1_500):
            marks, of_piece = self.store.commit(piece)
            self.matcher.apply(piece, marks)
            self.matcher.mark_missed(piece)
            refused += [*of_piece, *self._merge(piece)]
        return refused

    def feed(self, events: Sequence[Numbered], reload: bool) -> set[int]:
        """The events refused, by number."""
        entries = [
            [f"{RECEIVED_MS + number}-0".encode(), [b"event", _encoded(event, number)]]
            for number, event in events
        ]
        routed = self.router.route(entries)
        buffers = [buffer for _, buffer, _ in routed.buffers]
        refused = [entry for entry, _, _ in routed.rejects]
        waiting: list[tuple[bytes, tuple[int, ...]]] = [(buffer, ()) for buffer in buffers]
        while waiting:
            proposal = self._evaluate(waiting)
            refused += self._commit(proposal)
            self.acknowledged += len(proposal.acknowledgements)
            self.reversed += [
                (tenant, contact, goal_type, reference)
                for tenant, contact, _, goal_type, reference, _ in proposal.reversals
            ]
            before = waiting
            waiting = [(row[2], tuple(row[3])) for row in proposal.forwarded]
            waiting += [(buffer, before[at][1]) for at, _, _, buffer in proposal.deferred]
        if reload:
            # As after a commit whose outcome is unknown.
            contacts = self.matcher.contacts_of(buffers)
            self.matcher.evict(contacts)
            self.matcher.load(self.store.copy_active(contacts))
        return {_number(entry) for entry in refused}

    def _merge(self, proposal: _native.Proposal) -> Sequence[bytes]:
        """Move runs, and forward the events of their contacts. Returns the entries refused."""
        moved, refused = self.merges.commit(proposal)
        for tenant, contact, into, merges in moved:
            self.matcher.evict([(tenant, contact), (tenant, into)])
            key = forward_key(SECRET, tenant, contact)
            self.matcher.set_forwards([(tenant, key, into, merges)])
            self.matcher.load(self.store.copy_active([(tenant, into)]))
        return refused

    def _evaluate(
        self,
        buffers: Sequence[tuple[bytes, tuple[int, ...]]],
        only: list[tuple[str, str, str]] | None = None,
        old_tags: Mapping[tuple[str, str], list[int]] = MappingProxyType({}),
    ) -> _native.Proposal:
        batches = [
            ShardBatch("s", 1, number, 0, buffer, origin=Origin(merges=merges))
            for number, (buffer, merges) in enumerate(buffers)
        ]
        share = self.share if only is None else 1 << 40
        group = Group(
            batches, (), share=share, event_share=share // 4, only=only, old_tags=old_tags
        )
        evaluation = stored_facts.evaluate(self.evaluator, group, self.now_us, self.store)
        try:
            evaluation.send(None)
        except StopIteration as ended:
            proposal: _native.Proposal = ended.value
            return proposal
        raise AssertionError("the table does not wait")


def _number(entry: bytes) -> int:
    return int(entry.split(b"-")[0]) - RECEIVED_MS


def _encoded(event: dict[str, Any], number: int) -> bytes:
    if number % 2:
        packed: bytes = msgpack.packb(event)
        return packed
    return json.dumps(event, ensure_ascii=number % 4 == 0).encode()


def _goal(goal: Goal) -> dict[str, Any]:
    return {
        "id": goal.id,
        "goal_type": goal.goal_type,
        "criteria": json.dumps(goal.criteria),
        "is_active": goal.is_active,
        "effective_from": goal.effective_from_us,
        "created_at": goal.created_us,
        "position": goal.position,
        "check_on_enrollment": goal.check_on_enrollment,
        "conversion_window": goal.conversion_window_us,
    }


@settings(
    max_examples=1000,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    histories(merges=True, ends=True),
    st.sampled_from((0, 1, 2)),
    st.sampled_from((1 << 40, 1, 700, 2_000)),
    st.sampled_from((64, 0, 1, 2)),
    st.sampled_from((10_000, 2, 1)),
    st.sampled_from((45 * SECOND_US, 0, 3600 * SECOND_US)),
    st.booleans(),
    st.sampled_from((0, 2, 3, 5)),
)
def test_the_matcher_gives_the_results_of_the_model(
    history: History,
    reloads: int,
    share: int,
    high_fanout_above: int,
    max_enrollments: int,
    late_us: int,
    loads: bool,
    late: int,
) -> None:
    """`late`: one of this many events to which goals listen is evaluated after the next merge; 0:
    none is."""
    clock = (history.clock_skew_us, history.now_us)
    model = Model(*clock, max_enrollments, late_us)
    shard = Shard(*clock, share, high_fanout_above, max_enrollments, late_us, loads)
    acknowledged = 0
    undone = []
    numbers = count()
    waiting: list[Numbered] = []
    for number, step in enumerate(history.steps):
        if isinstance(step, Configure):
            change(model, step)
            shard.configure(step)
            continue
        assert isinstance(step, Batch)
        refused, expected = set(), set()
        events = [(next(numbers), event) for event in step.events]
        waiting += [each for each in events if late and each[0] % late == 0 and _may_be_late(each)]
        events = [each for each in events if each not in waiting]
        if step is history.steps[-1] or any(_is_merge(event) for _, event in events):
            events, waiting = events + waiting, []
        for part, outcomes in _parts(model, events):
            acknowledged += sum(len(outcome.acknowledged) for outcome in outcomes)
            undone += [
                (
                    event["tenantid"],
                    model.end_of(event["tenantid"], event["data"]["contact_id"]),
                    *outcome.reversed,
                )
                for (_, event), outcome in zip(part, outcomes, strict=True)
                if outcome.reversed is not None
            ]
            expected |= {
                at for (at, _), outcome in zip(part, outcomes, strict=True) if outcome.rejected
            }
            refused |= shard.feed(part, reloads > 0 and number % reloads == 0)
        assert refused == expected
        _assert_same(model, shard)
    assert shard.acknowledged == acknowledged
    # Events of several tenants may be evaluated in another order.
    assert sorted(map(repr, shard.reversed)) == sorted(map(repr, undone))


def _is_merge(event: dict[str, Any]) -> bool:
    return bool(event["type"] == "contact.merged")


def _may_be_late(numbered: Numbered) -> bool:
    """Whether goals listen to the event. An event of a merged contact counts for the enrollments
    that its contact had when Redis received it, however late it is evaluated (E21)."""
    return numbered[1]["type"] in GOAL_TYPE_OF_EVENT


def _parts(
    model: Model, events: Sequence[Numbered]
) -> Iterator[tuple[list[Numbered], list[Outcome]]]:
    """Apply the events to the model, and yield them with their outcomes: merges, and events of
    merged contacts, each alone, because their order with events of other contacts is not kept
    (E21)."""
    part: list[Numbered] = []
    outcomes: list[Outcome] = []
    for numbered in events:
        is_alone = _is_of_merged(model, numbered[1]) or numbered[0] < events[0][0]
        if is_alone and part:
            yield part, outcomes
            part, outcomes = [], []
        part.append(numbered)
        received_us = (RECEIVED_MS + numbered[0]) * 1_000
        outcomes.append(model.feed(numbered[1], received_us))
        if is_alone:
            yield part, outcomes
            part, outcomes = [], []
    if part:
        yield part, outcomes


def _is_of_merged(model: Model, event: dict[str, Any]) -> bool:
    if _is_merge(event):
        return True
    data = event["data"]
    contact = data.get("contact_id") if isinstance(data, dict) else None
    return (event["tenantid"], contact) in model.forwards


def _assert_same(model: Model, shard: Shard) -> None:
    store = shard.store
    assert set(store.rows) == set(model.enrollments)
    for key, expected in model.enrollments.items():
        row = store.rows[key]
        assert (row.contact, row.workflow, row.status) == (
            expected.contact,
            expected.workflow,
            expected.status,
        ), key
        assert (row.enrolled_at, row.ended_at, row.pending_actions) == (
            expected.enrolled_at_us,
            expected.ended_at_us,
            expected.pending_actions,
        ), key
        assert sorted(row.met) == sorted(expected.met), key
        assert row.met_after_end == expected.met_after_end_us, key
    assert sorted(store.achievements) == sorted(
        (
            achieved.tenant,
            achieved.enrollment,
            achieved.goal,
            achieved.goal_type,
            achieved.achieved_at_us,
            achieved.after_end,
        )
        for achieved in model.achievements
    )
    assert sorted(store.exits) == sorted(
        (
            ended.tenant,
            ended.enrollment,
            ended.goal_type,
            ended.goal_ids,
            ended.achieved_at_us,
            ended.event_id,
            ended.event_source,
        )
        for ended in model.exits
    )
    assert _missed_by_table(store) == {
        key: (expected.missed.event.source, expected.missed.event.id)
        for key, expected in model.enrollments.items()
        if expected.missed is not None and expected.status == "active"
    }
    active = sum(row.status == "active" for row in store.rows.values())
    assert shard.matcher.stats()["enrollments"] == active


def _missed_by_table(store: DictStore) -> dict[tuple[str, str], tuple[str, str]]:
    """The source and id of the event that each active enrollment missed."""
    found = {}
    for key, (_, _, payload, _) in store.missed.items():
        event = msgpack.unpackb(payload) if payload[0] >= 0x80 else json.loads(payload)
        if store.rows[key].status == "active":
            found[key] = (str(event["source"]), str(event["id"]))
    return found
