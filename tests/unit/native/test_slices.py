"""Slices of proposals and halves of buffers, through the binding."""

import json
from typing import Any

import pytest

from goald import _native

NOW_US = 1_800_000_000_000_000


def event(kind: str, contact: str, **data: Any) -> bytes:
    envelope = {
        "id": f"ev-{kind}-{contact}",
        "source": "test",
        "type": kind,
        "time": "2026-01-01T00:00:05Z",
        "tenantid": "acme",
        "data": {"contact_id": contact, **data},
    }
    return json.dumps(envelope).encode()


def started(number: int) -> bytes:
    fields = {"workflow_id": "w-1", "enrollment_id": f"e-{number}"}
    return event("workflow.enrollment.started", f"c-{number % 3}", **fields)


def buffer(*events: bytes) -> bytes:
    entries = [[f"{n}-1".encode(), [b"event", each]] for n, each in enumerate(events, 1)]
    ((_, packed, _),) = _native.Router(bytes(256)).route(entries).buffers
    return packed


@pytest.fixture
def proposal() -> _native.Proposal:
    """Events of ten enrollments, the deletion of a contact, and an invalid event."""
    events = [started(number) for number in range(10)]
    events += [event("contact.deleted", "c-0"), event("payment.completed", "c-1", amount="NaN")]
    return _native.Matcher().evaluate([buffer(*events)], NOW_US)


def test_slices_contain_the_effects_in_order_and_the_last_contains_the_rest(
    proposal: _native.Proposal,
) -> None:
    slices = proposal.slices(4, 1 << 20)
    assert [len(item.effects) for item in slices] == [4, 4, 2]
    ids = [id_ for item in slices for id_ in item.effects.enrollment_id]
    assert ids == proposal.effects.enrollment_id
    assert [item.events for item in slices] == [0, 0, proposal.events]
    assert [len(item.rejects) for item in slices] == [0, 0, 1]
    assert [len(item.deletions) for item in slices] == [0, 0, 1]
    assert not any(item.changes_nothing for item in slices)


def test_effects_of_a_slice_refer_to_the_events_that_caused_them(
    proposal: _native.Proposal,
) -> None:
    second = proposal.slices(4, 1 << 20)[1]
    ((_, entry, reason, bad),) = second.rejects_given_owners([(1, "another", "w-1")])
    assert (entry, "another contact or workflow" in reason) == (b"6-1", True)
    assert json.loads(bad)["data"]["enrollment_id"] == second.effects.enrollment_id[1] == "e-5"
    with pytest.raises(IndexError):
        second.rejects_given_owners([(4, "of the next slice", "w-1")])


def test_halving_a_proposal_ends_at_single_effects(proposal: _native.Proposal) -> None:
    waiting, single = [proposal], []
    while waiting:
        item = waiting.pop()
        if (halves := item.halves()) is None:
            single.append(item)
        else:
            waiting += reversed(halves)
    assert [len(item.effects) for item in single] == [1] * 10 + [0]
    assert len(single[-1].deletions) == 1


def test_halves_of_a_buffer_are_buffers() -> None:
    whole = buffer(started(1), started(2), started(3))
    halves = _native.buffer_halves(whole)
    assert halves is not None
    entries = [entry for half in halves for entry in _native.buffer_entries(half)]
    assert entries == _native.buffer_entries(whole)
    assert entries[1] == (b"2-1", started(2))
    assert _native.buffer_halves(buffer(started(1))) is None
    with pytest.raises(ValueError, match="buffer"):
        _native.buffer_halves(whole[:-1])


def test_each_goal_event_is_returned_in_a_separate_buffer() -> None:
    tag, bad = event("contact.tag.added", "c-1", tag_name="x"), event("payment.completed", "c-2")
    found = _native.goal_events([buffer(started(1), tag, bad[:-1]), buffer(tag)], NOW_US)
    assert [(tenant, contact) for tenant, contact, _ in found] == [("acme", "c-1")] * 2
    assert _native.buffer_entries(found[0][2]) == [(b"2-1", tag)]
