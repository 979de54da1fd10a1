"""Malformed envelopes, and what becomes of each: `goald:dead` with a reason that a person
understands, or passed over by rule (D4, D9).

How the limits are meant: depth counts maps and lists within one another, the envelope being
the first; a string or key has at most 1,024 bytes of UTF-8 once it is unescaped; a map has at
most 64 keys; all of it holds for the whole event, read or not. Every number is finite as a
double; the exponent of a JSON number is within 400, and its text within 1,024 bytes.
MessagePack's binary and extension values have no form in JSON and are refused.
"""

from collections.abc import Iterator

from tests.corpus.bad_json import bad_json
from tests.corpus.bad_limits import bad_limits
from tests.corpus.bad_msgpack import bad_msgpack
from tests.corpus.bad_values import bad_values
from tests.corpus.envelope import Envelope, as_json, as_msgpack, base


def bad_envelopes(now_us: int) -> list[Envelope]:
    """All of them, each under a name of its own. `now_us` is when they arrive: some are
    refused for lying more than a day ahead of it."""
    return [
        *bad_values(now_us),
        *bad_limits(now_us),
        *bad_json(now_us),
        *bad_msgpack(now_us),
        *_passed_over(now_us),
    ]


def _passed_over(now_us: int) -> Iterator[Envelope]:
    """Good envelopes of types that goald does not read, whatever their data holds."""
    for name, kind in {
        "unknown-type": "contact.updated",
        "type-in-capitals": "CONTACT.TAG.ADDED",
        "type-with-blank": "contact.tag.added ",
        "type-alike": "payment.complete",
        "exit-of-our-own": "workflow.exit.goal",
        "notice-of-our-own": "workflow.goal.achieved",
    }.items():
        event = base(name, now_us, kind, amount="NaN", tag_id=5, reason=[], pending_actions=-1)
        yield Envelope(f"json-{name}", as_json(event).encode(), "passed over")
        yield Envelope(f"msgpack-{name}", as_msgpack(event), "passed over")
