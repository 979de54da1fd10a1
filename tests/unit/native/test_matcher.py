"""The matcher through its binding: proposals, application of commits, and refused input."""

import json
import threading
from typing import Any

import pytest

from goald import _native
from goald.domain.contacts.tags import tag_key

NOW_US = 1_800_000_000_000_000
START_US = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z
CUSTOMER = "11111111-1111-4111-8111-111111111111"
PURCHASE = "22222222-2222-4222-8222-222222222222"


def event(kind: str, contact: str = "c-1", second: int = 0, **data: Any) -> bytes:
    envelope = {
        "id": f"ev-{kind}-{second}",
        "source": "test",
        "type": kind,
        "time": f"2026-01-01T00:00:{second:02}Z",
        "tenantid": "acme",
        "data": {"contact_id": contact, **data},
    }
    return json.dumps(envelope).encode()


def started(enrollment: str = "e-1", contact: str = "c-1", **data: Any) -> bytes:
    fields = {"workflow_id": "w-1", "enrollment_id": enrollment, **data}
    return event("workflow.enrollment.started", contact, **fields)


def tagged(name: str = "Customer", contact: str = "c-1", second: int = 5) -> bytes:
    return event("contact.tag.added", contact, second, tag_name=name)


def goal(goal_id: str = CUSTOMER, **changed: Any) -> dict[str, Any]:
    return {
        "id": goal_id,
        "goal_type": "tag_added",
        "criteria": '{"tag_name": "Customer"}',
        "is_active": True,
        "effective_from": START_US,
        "created_at": START_US,
        "position": 0,
        **changed,
    }


def workflow(*goals: dict[str, Any], **changed: Any) -> dict[str, Any]:
    return {
        "tenant_id": "acme",
        "workflow_id": "w-1",
        "goal_logic": "any",
        "is_active": True,
        "goals": list(goals),
        **changed,
    }


def buffers(*events: bytes) -> list[bytes]:
    entries = [[f"{n}-1".encode(), [b"event", each]] for n, each in enumerate(events, 1)]
    return [buffer for _, buffer, _ in _native.Router(bytes(256)).route(entries).buffers]


def evaluate(matcher: _native.Matcher, *events: bytes) -> _native.Proposal:
    return matcher.evaluate(buffers(*events), NOW_US)


def evaluate_and_apply(matcher: _native.Matcher, *events: bytes) -> _native.Proposal:
    proposal = evaluate(matcher, *events)
    matcher.apply(proposal, b"\1" * len(proposal.effects))
    return proposal


@pytest.fixture
def matcher() -> _native.Matcher:
    matcher = _native.Matcher()
    matcher.update_workflows([workflow(goal())])
    return matcher


def test_an_enrollment_that_meets_its_goal_exits_and_leaves_memory(
    matcher: _native.Matcher,
) -> None:
    evaluate_and_apply(matcher, started(pending_actions=3))
    proposal = evaluate_and_apply(matcher, tagged())
    effects, achievements, exits = proposal.effects, proposal.achievements, proposal.exits
    assert (effects.status, effects.is_new) == (["completed_goal"], [False])
    assert effects.ended_at == [START_US + 5_000_000]
    assert effects.met_goals == [[CUSTOMER]]
    assert effects.slot == [_native.slot_of("acme", "c-1")]
    assert (achievements.effect, achievements.goal_id, achievements.goal_type) == (
        [0],
        [CUSTOMER],
        ["tag_added"],
    )
    assert achievements.id == [_native.achievement_id("acme", "e-1", CUSTOMER)]
    assert json.loads(achievements.trigger_event[0]) == {
        "contact_id": "c-1",
        "tag_name": "Customer",
    }
    assert json.loads(achievements.metadata[0])["event_id"] == "ev-contact.tag.added-5"
    assert exits.id == [_native.exit_id("acme", "e-1")]
    assert (exits.goal_ids, exits.event_type) == ([[CUSTOMER]], ["contact.tag.added"])
    assert exits.received_at == [1_000]
    assert matcher.stats()["enrollments"] == 0


def test_a_batch_has_one_effect_for_each_enrollment(matcher: _native.Matcher) -> None:
    proposal = evaluate(matcher, started(pending_actions=3), tagged())
    assert proposal.effects.status == ["completed_goal"]
    assert proposal.effects.is_new == [True]
    assert proposal.effects.pending_actions == [3]
    assert proposal.events_by_type == {"contact.tag.added": 1, "workflow.enrollment.started": 1}


def test_evaluation_changes_nothing_until_it_is_applied(matcher: _native.Matcher) -> None:
    first = evaluate(matcher, started())
    second = evaluate(matcher, started())
    assert first.effects.enrollment_id == second.effects.enrollment_id == ["e-1"]
    assert matcher.stats()["enrollments"] == 0


def test_only_committed_effects_are_applied(matcher: _native.Matcher) -> None:
    proposal = evaluate(matcher, started("e-1"), started("e-2", "c-2"))
    matcher.apply(proposal, b"\0\1")
    assert matcher.stats()["enrollments"] == 1
    assert len(evaluate(matcher, tagged(contact="c-1")).exits) == 0
    assert len(evaluate(matcher, tagged(contact="c-2")).exits) == 1


def test_a_proposal_is_applied_once_and_only_to_unchanged_memory(
    matcher: _native.Matcher,
) -> None:
    proposal = evaluate_and_apply(matcher, started())
    with pytest.raises(ValueError, match="memory changed"):
        matcher.apply(proposal, b"\1")
    stale = evaluate(matcher, tagged())
    matcher.evict([("acme", "c-1")])
    with pytest.raises(ValueError, match="memory changed"):
        matcher.apply(stale, b"\1")
    with pytest.raises(ValueError, match="1 effects or transitions, got 2"):
        matcher.apply(evaluate(matcher, started()), b"\1\1")
    with pytest.raises(ValueError, match="memory changed"):
        _native.Matcher().apply(evaluate(matcher, started()), b"\1")


def test_a_configuration_change_does_not_invalidate_a_proposal(
    matcher: _native.Matcher,
) -> None:
    evaluate_and_apply(matcher, started())
    proposal = evaluate(matcher, tagged())
    matcher.update_workflows([workflow(goal(), is_active=False)])
    matcher.apply(proposal, b"\1")
    assert matcher.stats()["enrollments"] == 0


def test_a_second_contact_that_starts_the_same_enrollment_is_refused(
    matcher: _native.Matcher,
) -> None:
    proposal = evaluate(matcher, started("e-1", "c-1"), started("e-1", "c-2"))
    assert proposal.effects.contact_id == ["c-1"]
    [(buffer, entry, reason, raw)] = proposal.rejects
    assert (buffer, entry, raw) == (0, b"2-1", started("e-1", "c-2"))
    assert "another contact or workflow" in reason


def test_a_start_by_another_contact_does_not_hide_the_owner_in_memory(
    matcher: _native.Matcher,
) -> None:
    evaluate_and_apply(matcher, started("e-1", "c-1"))
    proposal = evaluate(matcher, started("e-1", "c-2"), tagged(contact="c-1"))
    assert proposal.effects.contact_id == ["c-2", "c-1"]
    assert proposal.effects.is_new == [True, False]
    assert proposal.exits.effect == [1]
    # The commit finds the conflict: the start is refused, and the owner exits.
    rejects = proposal.rejects_given_owners([(0, "c-1", "w-1")])
    assert [entry for _, entry, _, _ in rejects] == [b"1-1"]
    matcher.apply(proposal, b"\0\1")
    assert matcher.stats()["enrollments"] == 0


def test_a_bad_event_does_not_affect_its_batch(matcher: _native.Matcher) -> None:
    bad = event("workflow.enrollment.started", workflow_id="w-1", enrollment_id=5.5)
    proposal = evaluate(matcher, bad, started(), event("contact.viewed"))
    assert proposal.effects.enrollment_id == ["e-1"]
    assert (proposal.events, proposal.ignored) == (3, 1)
    [(_, entry, reason, raw)] = proposal.rejects
    assert (entry, raw) == (b"1-1", bad)
    assert "enrollment_id" in reason


def test_a_deleted_contact_is_cancelled_without_an_exit(matcher: _native.Matcher) -> None:
    evaluate_and_apply(matcher, started())
    proposal = evaluate_and_apply(matcher, event("contact.deleted", second=9), tagged(second=10))
    assert proposal.effects.status == ["cancelled"]
    assert len(proposal.exits) == 0
    slot = _native.slot_of("acme", "c-1")
    assert proposal.deletions == [("acme", "c-1", slot, START_US + 9_000_000)]


def test_an_exit_acknowledgement_is_reported_and_changes_no_enrollment(
    matcher: _native.Matcher,
) -> None:
    fields: dict[str, Any] = {"workflow_id": "w-1", "enrollment_id": "e-1"}
    event_bytes = event("workflow.exit.acknowledged", **fields, cancelled_actions=2)
    proposal = evaluate(matcher, event_bytes)
    slot = _native.slot_of("acme", "c-1")
    assert proposal.acknowledgements == [("acme", "e-1", "c-1", "w-1", slot, 2, START_US)]
    assert not proposal.changes_nothing
    assert len(proposal.effects) == 0


@pytest.mark.parametrize("space", [chr(at) for at in range(0x3001) if chr(at).isspace()], ids=ascii)
def test_a_goal_and_the_projection_trim_the_same_white_space(space: str) -> None:
    matcher = _native.Matcher()
    matcher.update_workflows([workflow(goal())])
    evaluate_and_apply(matcher, started())
    name = f"{space}customer{space}"
    is_same = tag_key(name) == tag_key("Customer")
    assert len(evaluate(matcher, tagged(name)).exits) == is_same


def test_an_enrollment_of_an_inactive_workflow_counts_once_it_is_active() -> None:
    matcher = _native.Matcher()
    evaluate_and_apply(matcher, started())
    assert evaluate(matcher, tagged()).changes_nothing
    matcher.update_workflows([workflow(goal(), is_active=False)])
    assert len(evaluate(matcher, tagged()).exits) == 0
    assert matcher.stats()["listeners"] == 0
    matcher.update_workflows([workflow(goal())])
    assert matcher.stats()["listeners"] == 1
    assert len(evaluate(matcher, tagged()).exits) == 1


def test_an_enrollment_of_a_deleted_workflow_is_one_of_an_unknown_workflow() -> None:
    matcher = _native.Matcher()
    matcher.update_workflows([workflow(goal()), workflow(goal(), workflow_id="w-2")])
    evaluate_and_apply(matcher, started())
    before = evaluate(matcher, tagged())
    matcher.remove_workflows([("acme", "w-1"), ("acme", "w-1"), ("acme", "w-9"), ("x", "w-2")])
    assert matcher.stats()["workflows"] == 1
    assert evaluate(matcher, tagged()).changes_nothing
    [explained] = json.loads(matcher.explain(tagged(), START_US))["enrollments"]
    assert explained["reason"] == "workflow unknown"
    matcher.update_workflows([workflow(goal())])
    assert len(evaluate(matcher, tagged()).exits) == 1
    assert len(before.exits) == 1


def test_a_deleted_workflow_without_enrollments_leaves_nothing_in_memory() -> None:
    matcher = _native.Matcher()
    empty = matcher.stats()
    for _ in range(3):
        matcher.update_workflows([workflow(goal())])
        matcher.remove_workflows([("acme", "w-1")])
    stats = matcher.stats()
    assert (stats["workflows"], stats["listeners"]) == (0, 0)
    assert stats["tenants"] == empty["tenants"] if "tenants" in empty else True


def test_goals_of_logic_all_are_met_one_by_one(matcher: _native.Matcher) -> None:
    bought = goal(PURCHASE, goal_type="purchase_made", criteria='{"min_amount": 10.5}')
    matcher.update_workflows([workflow(goal(), bought, goal_logic="all")])
    evaluate_and_apply(matcher, started())
    first = evaluate_and_apply(matcher, tagged())
    assert (first.effects.status, len(first.exits)) == (["active"], 0)
    assert evaluate(matcher, tagged()).changes_nothing
    assert evaluate(matcher, event("payment.completed", second=6, amount="10.49")).changes_nothing
    last = evaluate_and_apply(matcher, event("payment.completed", second=6, amount="10.50"))
    assert last.effects.met_goals == [[PURCHASE]]
    assert last.exits.goal_ids == [[CUSTOMER, PURCHASE]]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"goal_logic": "some"}, "goal_logic must be any or all"),
        ({"goals": [goal("not-a-uuid")]}, "not a UUID"),
        ({"goals": [goal(goal_type="page_viewed")]}, "unknown goal_type: page_viewed"),
        ({"goals": [goal(criteria="{}")]}, "criteria are empty"),
        ({"goals": [goal(criteria='{"tag": "x", "tag_id": "y"}')]}, "unknown keys: tag"),
        ({"goals": [goal(criteria="[1]")]}, "not a JSON object"),
        ({"goals": [{"id": CUSTOMER}]}, "no goal_type"),
    ],
)
def test_an_invalid_configuration_is_refused_as_a_whole(
    matcher: _native.Matcher, changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        matcher.update_workflows([workflow(goal(), workflow_id="w-9"), workflow(**changed)])
    assert matcher.stats()["workflows"] == 1
    assert matcher.stats()["goals"] == 1


def test_explain_says_why_each_goal_is_matched_or_not(matcher: _native.Matcher) -> None:
    matcher.update_workflows([workflow(goal(), goal(PURCHASE, is_active=False, position=1))])
    evaluate_and_apply(matcher, started())
    explanation = json.loads(matcher.explain(tagged("Prospect"), NOW_US))
    [enrollment] = explanation["enrollments"]
    reasons = {each["goal_id"]: each["reason"] for each in enrollment["goals"]}
    assert reasons == {CUSTOMER: "wrong tag", PURCHASE: "goal inactive"}
    explanation = json.loads(matcher.explain(tagged(), NOW_US))
    assert explanation["enrollments"][0]["goals"][0]["matched"] is True
    assert json.loads(matcher.explain(tagged(contact="c-9"), NOW_US))["reason"] == "not enrolled"
    assert matcher.stats()["enrollments"] == 1
    with pytest.raises(ValueError, match="MessagePack"):
        matcher.explain(b"nothing", NOW_US)


def test_contacts_of_buffers_are_returned_once(matcher: _native.Matcher) -> None:
    packed = buffers(started(), tagged(), tagged(contact="c-2"))
    assert matcher.contacts_of(packed) == [("acme", "c-1"), ("acme", "c-2")]
    with pytest.raises(ValueError, match="buffer"):
        matcher.evaluate([b"no buffer"], NOW_US)


def test_a_second_thread_is_refused_and_does_not_wait(matcher: _native.Matcher) -> None:
    work = buffers(*[tagged(second=n % 60) for n in range(20_000)])
    refused = threading.Event()
    done = threading.Event()

    def evaluate_on() -> None:
        while not refused.is_set() and not done.is_set():
            try:
                matcher.evaluate(work, NOW_US)
            except RuntimeError:
                refused.set()

    other = threading.Thread(target=evaluate_on)
    other.start()
    for _ in range(2_000):
        try:
            matcher.evaluate(work, NOW_US)
        except RuntimeError:
            refused.set()
        if refused.is_set():
            break
    done.set()
    other.join()
    assert refused.is_set()
