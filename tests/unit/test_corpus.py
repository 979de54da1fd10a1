"""The router and the matcher handle each envelope of the corpora as expected, and events in
the same batch take effect (D4, D9)."""

from collections import Counter

import msgpack
from tests.corpus.bad_envelopes import bad_envelopes
from tests.corpus.bad_values import bad_values
from tests.corpus.envelope import Envelope, as_msgpack, base
from tests.corpus.good_envelopes import good_envelopes
from tests.support.reference import Model

from goald._native import SLOTS, Matcher, Router

NOW_US = 1_772_323_200_000_000
NEIGHBOUR = as_msgpack(
    base(
        "neighbour",
        NOW_US,
        "workflow.enrollment.started",
        workflow_id="w-neighbour",
        enrollment_id="e-neighbour",
    )
)


def outcome_of(envelope: Envelope) -> tuple[str, str]:
    """The outcome of an envelope between two valid events, and the reason if it is dead."""
    entries = [
        [f"{number}-0".encode(), [b"event", raw]]
        for number, raw in enumerate((NEIGHBOUR, envelope.raw, NEIGHBOUR), start=1)
    ]
    routed = Router(bytes(SLOTS)).route(entries)
    proposal = Matcher().evaluate([buffer for _, buffer, _ in routed.buffers], NOW_US)
    refused = [(entry, reason, raw) for entry, reason, raw in routed.rejects]
    refused += [(entry, reason, raw) for _, entry, reason, raw in proposal.rejects]
    assert "e-neighbour" in proposal.effects.enrollment_id, envelope.name
    assert proposal.events + len(routed.rejects) == 3, envelope.name
    if refused:
        ((entry, reason, raw),) = refused
        assert (entry, raw) == (b"2-0", envelope.raw), envelope.name
        return "dead", reason
    return ("ignored" if proposal.ignored else "accepted"), ""


def test_malformed_envelopes_are_dead_lettered_with_a_reason_or_ignored() -> None:
    wrong = []
    for envelope in bad_envelopes(NOW_US):
        outcome, reason = outcome_of(envelope)
        if outcome != envelope.expectation or envelope.word.lower() not in reason.lower():
            wrong.append((envelope.name, envelope.expectation, envelope.word, outcome, reason))
        assert (outcome == "dead") == bool(reason.strip())
    assert wrong == []


def test_unusual_but_valid_envelopes_are_accepted() -> None:
    outcomes = {envelope.name: outcome_of(envelope) for envelope in good_envelopes(NOW_US)}
    assert {name: found for name, found in outcomes.items() if found[0] != "accepted"} == {}


def test_the_reference_model_refuses_the_same_values_as_the_matcher() -> None:
    model = Model(now_us=NOW_US)
    for envelope in bad_values(NOW_US):
        # NUL is refused because Postgres cannot store it (D9). The model has no storage.
        if envelope.name.startswith("msgpack-") and envelope.word != "NUL":
            assert model.feed(msgpack.unpackb(envelope.raw)).rejected, envelope.name


def test_the_corpora_have_at_least_120_envelopes_with_unique_names() -> None:
    bad, good = bad_envelopes(NOW_US), good_envelopes(NOW_US)
    assert len(bad) >= 120
    assert Counter(envelope.name for envelope in bad + good).most_common(1)[0][1] == 1
    assert Counter(envelope.raw for envelope in bad + good).most_common(1)[0][1] == 1
