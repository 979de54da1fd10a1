"""Which events describe contacts, and when they count."""

import json
from typing import Any

import pytest

from goald import _native

RECEIVED_MS = 1_767_225_660_000  # 2026-01-01T00:01:00Z
NOW_US = RECEIVED_MS * 1_000 + 5_000_000


def evaluate(matcher: _native.Matcher, kind: str, time: str, **data: Any) -> _native.Proposal:
    event = {
        "id": "1",
        "source": "s",
        "type": kind,
        "time": time,
        "tenantid": "acme",
        "data": {"contact_id": "c-1", **data},
    }
    entry = [b"%d-0" % RECEIVED_MS, [b"event", json.dumps(event).encode()]]
    routed = _native.Router(bytes(_native.SLOTS)).route([entry])
    return matcher.evaluate([buffer for _, buffer, _ in routed.buffers], NOW_US)


def test_described_contact_is_part_of_the_proposal() -> None:
    proposal = evaluate(
        _native.Matcher(), "contact.updated", "2026-01-01T00:00:30Z", email="a@example.com"
    )

    [(tenant, contact, _, kind, key, time, data, _)] = proposal.contact_events
    assert (tenant, contact, kind) == ("acme", "c-1", "contact.updated")
    assert time == RECEIVED_MS * 1_000 - 30_000_000
    assert json.loads(data) == {"contact_id": "c-1", "email": "a@example.com"}
    assert len(key) == 36
    assert not proposal.changes_nothing
    assert proposal.halves() is None


def test_event_that_is_dated_ahead_counts_as_of_its_receipt() -> None:
    proposal = evaluate(_native.Matcher(), "contact.updated", "2026-01-01T20:00:00Z")

    [(*_, time, _, dated)] = proposal.contact_events
    assert time == RECEIVED_MS * 1_000
    assert dated == _native.time_us("2026-01-01T20:00:00Z")


@pytest.mark.parametrize(
    "kind", ["contact.tag.added", "contact.tag.removed", "pipeline.stage.changed"]
)
def test_tags_and_stages_are_recorded_only_for_tenants_with_contacts(kind: str) -> None:
    matcher = _native.Matcher()
    given = {"tag_name": "VIP", "stage_id": "won"}
    before = evaluate(matcher, kind, "2026-01-01T00:00:00Z", **given)
    matcher.keep_contacts(["globex", "acme", "acme"])
    after = evaluate(matcher, kind, "2026-01-01T00:00:00Z", **given)
    other = evaluate(matcher, "payment.completed", "2026-01-01T00:00:00Z", amount=1)

    assert (before.contact_events, before.changes_nothing) == ([], True)
    assert [row[3] for row in after.contact_events] == [kind]
    assert other.changes_nothing
