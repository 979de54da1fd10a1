"""A webhook sends events of its types and sources only."""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goald.api.auth.event_permissions import permitted
from goald.api.ports import Caller
from goald.domain.credentials.webhooks import DEFAULT_TYPES, EventGrant
from goald.domain.event_types import PROCESSED_TYPES
from goald.pipeline.intake import intake

NOW_US = 1_770_000_000_000_000
TYPES = [
    *sorted(PROCESSED_TYPES),
    *("invoice.created", "Payment.completed", "payment.completed ", "contact.deleted\u0301"),
]
SOURCES = ["/shop", "/Shop", "/shop/", "shop", "*", "/caf\u00e9", "/cafe\u0301"]

types = st.sampled_from(TYPES) | st.text(min_size=1, max_size=20)
sources = st.sampled_from(SOURCES) | st.text(min_size=1, max_size=20)
grants = st.builds(
    EventGrant,
    st.just(DEFAULT_TYPES) | st.frozensets(st.sampled_from(TYPES), min_size=1),
    st.none() | st.frozensets(st.sampled_from(SOURCES), min_size=1),
)


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "id": draw(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1)),
        "source": draw(sources),
        "type": draw(types),
        "time": "2026-01-31T09:00:00Z",
        # Attributes of other places never count.
        "subject": draw(types),
        "data": {
            "contact_id": "ann",
            "workflow_id": "w-1",
            "enrollment_id": "e-1",
            "type": draw(types),
            "source": draw(sources),
        },
    }


def _encode(event: dict[str, Any], *, ascii_only: bool, reverse: bool) -> str:
    items = list(event.items())
    return json.dumps(dict(reversed(items) if reverse else items), ensure_ascii=ascii_only)


@given(grants, st.lists(events(), min_size=1, max_size=5), st.booleans(), st.booleans())
def test_only_granted_types_and_sources_are_accepted(
    grant: EventGrant, sent: list[dict[str, Any]], ascii_only: bool, reverse: bool
) -> None:
    encoded = (_encode(each, ascii_only=ascii_only, reverse=reverse) for each in sent)
    found = intake(f"[{','.join(encoded)}]".encode(), "acme", NOW_US)
    caller = Caller("acme", "webhook:shop", frozenset({"events:write"}), grant)

    result, counts = permitted(found, caller)

    accepted = [json.loads(event.payload) for event in result.accepted]
    assert all(event["type"] in grant.types for event in accepted)
    assert grant.sources is None or all(event["source"] in grant.sources for event in accepted)
    assert sorted(
        [*(event.index for event in result.accepted), *(event.index for event in result.refused)]
    ) == list(range(len(sent)))
    assert counts.total() == len(found.accepted) - len(result.accepted)
    # Nothing that is granted is refused.
    assert {event.index for event in found.accepted} - {e.index for e in result.accepted} == {
        event.index
        for event in found.accepted
        if sent[event.index]["type"] not in grant.types
        or (grant.sources is not None and sent[event.index]["source"] not in grant.sources)
    }


@pytest.mark.parametrize(
    "kind",
    [
        "workflow.action.finished",
        "workflow.timer.fired",
        "workflow.execution.requested",
        "workflow.transfer.moved",
    ],
)
def test_reserved_types_are_refused_to_tokens_and_webhooks(kind: str) -> None:
    sent = [_event(kind), _event("payment.completed")]
    found = intake(json.dumps(sent).encode(), "acme", NOW_US)
    grant = EventGrant(frozenset({kind, "payment.completed"}), None)
    scopes = frozenset({"events:write", "contacts:edit", "executions:edit"})
    for caller in (
        Caller("acme", "editor", scopes),
        Caller("acme", "webhook:shop", frozenset({"events:write"}), grant),
    ):
        result, counts = permitted(found, caller)
        assert [event.type for event in result.accepted] == ["payment.completed"]
        assert [event.reason for event in result.refused] == [
            f"type: '{kind}' is reserved for goald"
        ]
        assert not counts


@pytest.mark.parametrize("attribute", ["hops", "goald", "goaldtoken"])
def test_attributes_that_only_goald_sets_are_refused(attribute: str) -> None:
    sent = [{**_event("payment.completed"), attribute: 3}, _event("payment.completed")]
    found = intake(json.dumps(sent).encode(), "acme", NOW_US)
    assert [event.index for event in found.accepted] == [1]
    assert "reserved for goald" in found.refused[0].reason


def _event(kind: str) -> dict[str, Any]:
    return {
        "id": kind,
        "source": "/shop",
        "type": kind,
        "time": "2026-01-31T09:00:00Z",
        "data": {"contact_id": "ann", "amount": 1},
    }


@given(st.lists(events(), min_size=1, max_size=3))
def test_token_is_restricted_in_events_about_contacts_only(sent: list[dict[str, Any]]) -> None:
    found = intake(json.dumps(sent).encode(), "acme", NOW_US)

    writes = frozenset({"events:write"})
    all_of_it = permitted(found, Caller("acme", "editor", writes | {"contacts:edit"}))
    result, counts = permitted(found, Caller("acme", "editor", writes))

    assert all_of_it == (found, Counter())
    assert not counts
    about_contacts = {"contact.updated", "contact.deleted"}
    assert [event.index for event in result.accepted] == [
        event.index for event in found.accepted if sent[event.index]["type"] not in about_contacts
    ]
    refused = [event.index for event in result.refused]
    assert sorted([*refused, *(event.index for event in result.accepted)]) == [*range(len(sent))]
