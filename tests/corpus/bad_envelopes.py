"""Malformed envelopes with the expected outcome: dead-lettered with a readable reason, or
ignored (D4, D9).

The limits on text, ids and numbers apply to what goald reads: an event is refused for another
field only if it is not well-formed. Depth counts nested maps and lists, including the envelope.
A text has at most 1,024 bytes of UTF-8 after unescaping.
"""

from collections.abc import Iterator

from tests.corpus.bad_json import bad_json
from tests.corpus.bad_limits import bad_limits
from tests.corpus.bad_msgpack import bad_msgpack
from tests.corpus.bad_values import bad_values
from tests.corpus.envelope import Envelope, as_json, as_msgpack, base


def bad_envelopes(now_us: int) -> list[Envelope]:
    """All malformed envelopes, each with a unique name. `now_us` is the time of arrival; some
    are refused because their time is more than a day later."""
    return [
        *bad_values(now_us),
        *bad_limits(now_us),
        *bad_json(now_us),
        *bad_msgpack(now_us),
        *_ignored(now_us),
    ]


def _ignored(now_us: int) -> Iterator[Envelope]:
    """Valid envelopes of types that goald does not process, with invalid data."""
    for name, kind in {
        "unknown-type": "contact.viewed",
        "type-in-capitals": "CONTACT.TAG.ADDED",
        "type-with-space": "contact.tag.added ",
        "type-alike": "payment.complete",
        "exit-of-goald": "workflow.exit.goal",
        "notice-of-goald": "workflow.goal.achieved",
    }.items():
        event = base(name, now_us, kind, amount="NaN", tag_id=5, reason=[], pending_actions=-1)
        yield Envelope(f"json-{name}", as_json(event).encode(), "ignored")
        yield Envelope(f"msgpack-{name}", as_msgpack(event), "ignored")
