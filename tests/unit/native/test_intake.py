"""The intake through its binding: it accepts and refuses the same events as the pipeline, with the
same reasons."""

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


def pipeline_reject_reason(raw: bytes) -> str | None:
    """Return why the pipeline dead-letters the event; None if it processes or ignores it."""
    routed = _native.Router(bytes(_native.SLOTS)).route([[b"1-0", [b"event", raw]]])
    buffers = [buffer for _, buffer, _ in routed.buffers]
    proposal = _native.Matcher().evaluate(buffers, NOW_US)
    dead = [reason for _, reason, _ in routed.rejects]
    dead += [reason for _, _, reason, _ in proposal.rejects]
    return dead[0] if dead else None


@pytest.mark.parametrize("envelope", ENVELOPES, ids=lambda envelope: envelope.name)
def test_the_intake_accepts_exactly_the_events_that_the_pipeline_accepts(
    envelope: Envelope,
) -> None:
    found = _native.intake(envelope.raw, TENANT, NOW_US)
    expected = pipeline_reject_reason(envelope.raw)
    if expected is None:
        [(index, _, payload, *_)] = found.accepted
        assert (index, payload, found.rejected) == (0, envelope.raw.strip(), [])
    elif found.accepted:
        # The intake adds a missing tenant, and changes nothing else.
        [(_, contact, payload, *_)] = found.accepted
        assert "tenantid" in expected
        assert (contact, pipeline_reject_reason(payload)) == (CONTACT, None)
    else:
        [(_, _, reason)] = found.rejected
        assert envelope.word.lower() in reason.lower()


def test_there_are_bad_and_good_envelopes_in_json() -> None:
    expectations = [envelope.expectation for envelope in ENVELOPES]
    assert min(expectations.count("dead"), expectations.count("accepted")) >= 20


def test_bad_events_in_a_list_do_not_affect_the_good_events() -> None:
    """A bad event does not affect others (D4) if its brackets and quotes are balanced."""
    good = [e.raw for e in ENVELOPES if e.expectation == "accepted"]
    bad = [
        e.raw
        for e in ENVELOPES
        if e.expectation == "dead" and _native.intake(e.raw, TENANT, NOW_US).rejected
    ]
    balanced = [raw for raw in bad if _is_balanced(raw)]
    assert len(balanced) > len(bad) / 2
    found = _native.intake(b"[" + b",".join([*balanced, *good]) + b"]", TENANT, NOW_US)
    assert found.is_list
    assert [payload for _, _, payload, *_ in found.accepted] == [raw.strip() for raw in good]
    assert [index for index, _, _ in found.rejected] == list(range(len(balanced)))


def _is_balanced(raw: bytes) -> bool:
    try:
        found = _native.intake(b"[" + raw + b"]", TENANT, NOW_US)
    except ValueError:
        return False
    return len(found.accepted) + len(found.rejected) == 1


def test_a_refused_event_is_reported_with_its_id() -> None:
    body = json.dumps([{"id": "evt-1"}, {"id": 7}, "text"]).encode()
    refused = [(index, name) for index, name, _ in _native.intake(body, "acme", NOW_US).rejected]
    assert refused == [(0, "evt-1"), (1, "7"), (2, None)]


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
def test_a_body_without_events_is_a_value_error(body: bytes, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        _native.intake(body, "acme", NOW_US)
