"""The watermark of a shard: until when it knows every event (X6).

A timer fires only when the shard has committed all events that Redis received before. With its
reads, a consumer passes a mark to every shard: until then it has dispatched all entries of the
stream. A mark counts when the batches that precede it are committed.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from goald.pipeline.shard_batch import ShardBatch, StreamMark
from goald.ports.clock import Clock

MARK_SECONDS: Final = 5.0
"""A stream without a mark for this long makes goald not ready, while timers are held."""

MAX_MARKS: Final = 64
"""Marks of a stream that may wait for their batches; the latest one is replaced beyond."""


class _MarkedStream:
    """The marks of one stream, and its batches that are not committed."""

    def __init__(self, now: float) -> None:
        self.epoch = 0
        self.marked_at = now
        self.until_ms: int | None = None
        self._batches: dict[int, asyncio.Future[Any]] = {}
        self._marks: list[StreamMark] = []
        self._committed_before = 0
        """The sequence of the latest mark that counts. The sender may not know yet that the batches
        before it are processed."""

    def begin(self, epoch: int) -> bool:
        """A message of this epoch arrived. Returns False if a later holder has sent one before.
        Marks of an earlier holder that count already stay: its events are committed, and change
        nothing if they are sent again."""
        if epoch > self.epoch:
            self.epoch = epoch
            self._batches.clear()
            self._marks.clear()
            self._committed_before = 0
        return epoch == self.epoch

    def add(self, sequence: int, committed: "asyncio.Future[Any]") -> None:
        self._batches[sequence] = committed

    def mark(self, mark: StreamMark) -> None:
        self.advance()
        self._forget(mark.first_unacknowledged)
        if len(self._marks) == MAX_MARKS:
            self._marks.pop()
        self._marks.append(mark)

    def advance(self) -> None:
        """Advance to the latest mark whose batches are committed. An earlier one may name batches
        that the sender has split since, and that never arrive."""
        for number in reversed(range(len(self._marks))):
            mark = self._marks[number]
            if self._is_committed(mark):
                self.until_ms = max(mark.at_ms, self.until_ms or 0)
                del self._marks[: number + 1]
                self._committed_before = max(mark.sequence, self._committed_before)
                self._forget(mark.sequence)
                return

    def _forget(self, before: int) -> None:
        for sequence in [each for each in self._batches if each < before]:
            del self._batches[sequence]

    def _is_committed(self, mark: StreamMark) -> bool:
        first = max(mark.first_unacknowledged, self._committed_before)
        for sequence in range(first, mark.sequence):
            batch = self._batches.get(sequence)
            if batch is None or not batch.done() or batch.cancelled():
                return False
        return True


class Watermark:
    """The marks of all event streams, as one shard knows them."""

    def __init__(self, clock: Clock, streams: Sequence[str]) -> None:
        """`streams`: the names of all event streams."""
        self._clock = clock
        self._streams = {name: _MarkedStream(clock.monotonic()) for name in streams}

    def admit(self, batch: ShardBatch, committed: "asyncio.Future[Any]") -> None:
        """A batch was admitted. `committed` is done when its effects are committed, those of its
        deferred events included. Ignores batches that other shards passed on."""
        stream = self._streams.get(batch.stream)
        if stream is not None and stream.begin(batch.epoch):
            stream.add(batch.sequence, committed)

    def mark(self, mark: StreamMark) -> None:
        """A consumer has read until a time. Its batches before `sequence` may still arrive."""
        stream = self._streams.get(mark.stream)
        if stream is not None and stream.begin(mark.epoch):
            stream.mark(mark)
            stream.marked_at = self._clock.monotonic()

    def value_ms(self) -> int | None:
        """The time until which all events are committed. None: no mark of a stream counts yet, so
        no timer may fire."""
        least: int | None = None
        for stream in self._streams.values():
            stream.advance()
            if stream.until_ms is None:
                return None
            least = stream.until_ms if least is None else min(least, stream.until_ms)
        return least

    @property
    def not_ready_reason(self) -> str | None:
        """The first stream without a mark for MARK_SECONDS, as a short phrase; None if there is
        none."""
        now = self._clock.monotonic()
        for name, stream in self._streams.items():
            if now - stream.marked_at > MARK_SECONDS:
                return f"timers wait for {name}, read {now - stream.marked_at:.0f} s ago"
        return None
