"""The intake through its binding: what the door takes, the pipeline takes, and what it refuses,
the pipeline refuses in the same words."""

import json

import pytest
from tests.corpus.bad_envelopes import bad_envelopes
from tests.corpus.envelope import CONTACT, TENANT, Envelope
from tests.corpus.good_envelopes import good_envelopes

from goald import _native

NOW_US = 1_772_323_200_000_000

ENVELOPES = [
    envelope
    for envelope in bad_envelopes(NOW_US) + good_envelopes(NOW_US)
    if envelope.raw.lstrip()[:1] == b"{"
]


def reason_of_the_pipeline(raw: bytes) -> str | None:
    """Why it would be in goald:dead; None where it would take effect or be ignored."""
    routed = _native.Router(bytes(_native.SLOTS)).route([[b"1-0", [b"event", raw]]])
    buffers = [buffer for _, buffer, _ in routed.buffers]
    proposal = _native.Matcher().evaluate(buffers, NOW_US)
    dead = [reason for _, reason, _ in routed.rejects]
    dead += [reason for _, _, reason, _ in proposal.rejects]
    return dead[0] if dead else None


@pytest.mark.parametrize("envelope", ENVELOPES, ids=lambda envelope: envelope.name)
def test_the_door_takes_what_the_pipeline_takes_and_nothing_else(envelope: Envelope) -> None:
    found = _native.intake(envelope.raw, TENANT, NOW_US)
    expected = reason_of_the_pipeline(envelope.raw)
    if expected is None:
        [(index, _, payload)] = found.accepted
        assert (index, payload, found.rejected) == (0, envelope.raw.strip(), [])
    elif found.accepted:
        # Only what names no tenant is mended at the door.
        [(_, contact, payload)] = found.accepted
        assert "tenantid" in expected
        assert (contact, reason_of_the_pipeline(payload)) == (CONTACT, None)
    else:
        [(_, _, reason)] = found.rejected
        assert envelope.word.lower() in reason.lower()


def test_there_are_bad_and_good_envelopes_in_json() -> None:
    fates = [envelope.expectation for envelope in ENVELOPES]
    assert min(fates.count("dead"), fates.count("accepted")) >= 20


def test_a_list_of_all_envelopes_loses_none_of_the_good_ones() -> None:
    """A bad event costs no other (D4), as long as its brackets and quotes can be told."""
    good = [e.raw for e in ENVELOPES if e.expectation == "accepted"]
    bad = [
        e.raw
        for e in ENVELOPES
        if e.expectation == "dead" and _native.intake(e.raw, TENANT, NOW_US).rejected
    ]
    whole = [raw for raw in bad if _can_be_told(raw)]
    assert len(whole) > len(bad) / 2
    found = _native.intake(b"[" + b",".join([*whole, *good]) + b"]", TENANT, NOW_US)
    assert found.is_list
    assert [payload for _, _, payload in found.accepted] == [raw.strip() for raw in good]
    assert [index for index, _, _ in found.rejected] == list(range(len(whole)))


def _can_be_told(raw: bytes) -> bool:
    try:
        found = _native.intake(b"[" + raw + b"]", TENANT, NOW_US)
    except ValueError:
        return False
    return len(found.accepted) + len(found.rejected) == 1


def test_a_refused_event_is_named_by_its_id() -> None:
    body = json.dumps([{"id": "evt-1"}, {"id": 7}, "text"]).encode()
    named = [(index, name) for index, name, _ in _native.intake(body, "acme", NOW_US).rejected]
    assert named == [(0, "evt-1"), (1, None), (2, None)]


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"", "neither"),
        (b"\x81\xa1a\x01", "neither"),
        (b"[]", "no events"),
        (b"[{}", "not valid JSON"),
        (b"[" + b",".join([b"{}"] * 1_001) + b"]", "more than 1000"),
    ],
)
def test_a_body_that_holds_no_events_is_a_value_error(body: bytes, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        _native.intake(body, "acme", NOW_US)
