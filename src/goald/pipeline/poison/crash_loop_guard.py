"""CrashLoopGuard: a consumer that died again and again goes on entry by entry, and counts (D4)."""

from goald.pipeline.ingest.route import RoutedBatch
from goald.pipeline.poison.delivery_attempts import TRIES, TRIES_TOGETHER
from goald.ports.event_stream import EventStream, RawEntry, ReaderStart
from goald.ports.outbound import DeadLetter

CARE_ENTRIES = 4_000
"""So many go alone at most, which takes seconds. Those who died may have read further: then some
more die, and it begins from where this has come to."""


class CrashLoopGuard:
    """Whether a stream is read entry by entry, and what becomes of an entry that is fatal.

    A consumer that dies of an entry remembers nothing, so Redis counts: how often one began at
    the same place, and then the tries of a single entry, each before it is made. What is known
    to have been survived is forgotten; so a count of five is five deaths.
    """

    def __init__(self, stream: EventStream, start: ReaderStart) -> None:
        self._stream = stream
        self._left = CARE_ENTRIES if start.starts > TRIES_TOGETHER or start.was_isolating else 0

    @property
    def at_most(self) -> int | None:
        """How many entries to read at once; None for as many as fit."""
        return 1 if self._left > 0 else None

    async def try_alone(self, entries: list[RawEntry]) -> RoutedBatch | None:
        """Before an entry that goes alone is looked at: count a try of it. A batch to be buried
        where it had as many as an entry has."""
        if self._left <= 0:
            return None
        ((entry_id, fields),) = entries
        if await self._stream.count_attempt(entry_id) <= TRIES:
            return None
        event = next(
            (
                value
                for name, value in zip(fields[::2], fields[1::2], strict=True)
                if name == b"event"
            ),
            b"",
        )
        reason = f"a consumer ended {TRIES} times while it had this event alone"
        letter = DeadLetter(self._stream.name, entry_id, event, reason, delivery_attempts=TRIES)
        return RoutedBatch(buffers=[], dead=[letter], size=len(event))

    async def survived(self) -> None:
        """The entry that goes alone was no danger, or is buried."""
        await self._stream.clear_attempts()
        self._left -= 1

    def end(self) -> None:
        """All that was there has been read."""
        self._left = 0
