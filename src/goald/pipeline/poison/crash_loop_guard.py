"""Crash-loop guard: a consumer that died repeatedly delivers entry by entry (D4)."""

from functools import partial

from goald.pipeline.context import ConsumerContext
from goald.pipeline.poison.delivery_attempts import MAX_ATTEMPTS, MAX_SHARED_ATTEMPTS
from goald.ports.event_stream import EventStream, RawEntry, ReaderStart
from goald.ports.outbound import DeadLetter

ISOLATED_ENTRIES = 4_000
"""How many entries are delivered one by one at most, which takes seconds. If an earlier consumer
had read further, a few more die, and isolation continues where this one ended."""


class CrashLoopGuard:
    """Decides whether entries of a stream are isolated, and counts their delivery attempts.

    A consumer that dies loses its memory, so Redis keeps the counts: how often a consumer
    started at the same position, and then the attempts of a single entry, each counted before
    it is made. The count is cleared if the consumer stays alive, so a count of MAX_ATTEMPTS
    means that many deaths.
    """

    def __init__(self, context: ConsumerContext, stream: EventStream, start: ReaderStart) -> None:
        self._context = context
        self._stream = stream
        is_loop = start.starts > MAX_SHARED_ATTEMPTS or start.was_isolating
        self._remaining = ISOLATED_ENTRIES if is_loop else 0

    @property
    def isolates(self) -> bool:
        """Whether each entry must be read, and delivered, alone."""
        return self._remaining > 0

    async def count_attempt(self, entry: RawEntry) -> DeadLetter | None:
        """Count an attempt of an isolated entry before it is made. Retried while Redis is
        unavailable.

        Returns a dead letter if the entry was attempted MAX_ATTEMPTS times before; then it must
        not be delivered again.
        """
        entry_id, fields = entry
        attempts = await self._context.retry(
            "Redis: count attempt",
            "count_attempt",
            partial(self._stream.count_attempt, entry_id),
        )
        if attempts <= MAX_ATTEMPTS:
            return None
        self._context.metrics.poison_events.inc()
        pairs = zip(fields[::2], fields[1::2], strict=True)
        event = next((value for name, value in pairs if name == b"event"), b"")
        reason = f"a consumer died {MAX_ATTEMPTS} times while it processed this event alone"
        return DeadLetter(
            self._stream.name, entry_id, event, reason, delivery_attempts=MAX_ATTEMPTS
        )

    async def clear_attempts(self) -> None:
        """Clear the count: the entry is safe, or dead-lettered."""
        await self._context.retry(
            "Redis: clear attempts", "clear_attempts", self._stream.clear_attempts
        )
        self._remaining -= 1

    def end(self) -> None:
        """End isolation: the consumer has read all entries of the stream."""
        self._remaining = 0
