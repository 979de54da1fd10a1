"""Receivers that accept no calls now (X5)."""

from typing import Final, NamedTuple

from goald.domain.actions.outcomes import Outcome, OutcomeKind
from goald.workers.backlog import Receiver

_PAUSE_S: Final = 10.0
"""How long a worker calls no receiver that has refused its credentials. Short, because the owner of
the connection may have corrected them; the shard holds the jobs of a paused connection."""
_TEXTS: Final = {
    OutcomeKind.PAUSE: "the connection was refused a moment ago",
    OutcomeKind.RATE_LIMIT: "the receiver accepts no calls for a time",
}


class _Block(NamedTuple):
    kind: OutcomeKind
    until: float


class Blocks:
    """Remembers pauses and rate limits, so that one answer applies to all jobs of a receiver. A
    further call would be refused too, and add to the load that the receiver limits."""

    def __init__(self) -> None:
        self._blocks: dict[Receiver, _Block] = {}

    def outcome(self, receiver: Receiver, now: float) -> Outcome | None:
        """The outcome of a job without a call; None if its receiver may be called."""
        block = self._blocks.get(receiver)
        if block is None:
            return None
        if block.until <= now:
            del self._blocks[receiver]
            return None
        delay_s = block.until - now if block.kind is OutcomeKind.RATE_LIMIT else None
        return Outcome(block.kind, _TEXTS[block.kind], delay_s)

    def note(self, receiver: Receiver, outcome: Outcome, delay_s: float, now: float) -> None:
        """The outcome of a call. `delay_s`: that of a rate limit."""
        if outcome.kind is OutcomeKind.PAUSE:
            self._blocks[receiver] = _Block(outcome.kind, now + _PAUSE_S)
        elif outcome.kind is OutcomeKind.RATE_LIMIT:
            self._blocks[receiver] = _Block(outcome.kind, now + delay_s)
        elif outcome.kind is OutcomeKind.SUCCESS:
            self._blocks.pop(receiver, None)
