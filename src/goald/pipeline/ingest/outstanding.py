"""The batches that a dispatcher was given and that are not known to be processed, per stream."""

import asyncio
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from goald.pipeline.poison.delivery_attempts import MAX_SHARED_ATTEMPTS, split
from goald.pipeline.shard_batch import Forwarded, Origin, ShardBatch, StreamMark


@dataclass(eq=False, slots=True)
class QueuedBatch:
    """A batch on its way to a shard."""

    stream: str
    epoch: int
    sequence: int
    buffer: bytes
    processed: "asyncio.Future[Sequence[Forwarded]]"
    """With the events to pass on."""
    origin: Origin | None = None
    """See `ShardBatch`."""
    attempts: int = 0
    """How often the shard died while it had this batch."""

    @property
    def is_exclusive(self) -> bool:
        return self.attempts >= MAX_SHARED_ATTEMPTS


class Outstanding:
    """Numbers the batches of each stream, and keeps them until the shard has processed them."""

    def __init__(self) -> None:
        self._next: dict[tuple[str, int], int] = {}
        self._streams: dict[str, deque[QueuedBatch]] = {}

    def add(
        self, stream: str, epoch: int, buffer: bytes, origin: Origin | None = None
    ) -> QueuedBatch:
        """Give a new batch the next sequence number of its stream and epoch."""
        processed: asyncio.Future[Sequence[Forwarded]]
        processed = asyncio.get_running_loop().create_future()
        number = self._take_number(stream, epoch)
        batch = QueuedBatch(stream, epoch, number, buffer, processed, origin)
        self._streams.setdefault(stream, deque()).append(batch)
        return batch

    def message(self, batch: QueuedBatch, *, may_be_deferred: bool) -> ShardBatch:
        """Return a batch as the shard receives it."""
        outstanding = self._streams[batch.stream]
        first = min(batch.sequence, outstanding[0].sequence) if outstanding else batch.sequence
        return ShardBatch(
            batch.stream,
            batch.epoch,
            batch.sequence,
            first,
            batch.buffer,
            batch.is_exclusive,
            may_be_deferred,
            batch.origin,
        )

    def mark(self, stream: str, epoch: int, until_ms: int) -> StreamMark:
        """Return a mark for the shard: the batches that were added have all entries until then."""
        outstanding, after = self._streams.get(stream), self._next.get((stream, epoch), 0)
        first = outstanding[0].sequence if outstanding else after
        return StreamMark(stream, epoch, after, first, until_ms)

    def complete(self, batch: QueuedBatch, forwarded: Sequence[Forwarded] = ()) -> None:
        """Record that the shard has processed a batch, except the events to pass on."""
        if not batch.processed.done():
            batch.processed.set_result(forwarded)
        outstanding = self._streams[batch.stream]
        while outstanding and outstanding[0].processed.done():
            outstanding.popleft()

    def resend(
        self,
        queue: Collection[QueuedBatch],
        suspects: Collection[QueuedBatch],
        sent: Collection[QueuedBatch] = (),
    ) -> deque[QueuedBatch]:
        """Return the queue to send after a failure: per stream, everything from the first batch
        that is not processed.

        Batches behind it are sent again even if they are processed, because a shard that
        restarted accepts no gap in the sequence. `suspects` are the batches that the shard died
        with: their attempts are counted, and those attempted too often are split. `sent`, empty
        if there are suspects, are batches that the shard has, so that they are not sent again.
        """
        waiting = set(queue)
        excluded = waiting.union(sent)
        again: list[QueuedBatch] = []
        for stream, outstanding in self._streams.items():
            if self._split(stream, suspects):
                again += self._streams[stream]
                waiting -= set(outstanding)
            else:
                again += [batch for batch in outstanding if batch not in excluded]
        return deque([*again, *(batch for batch in queue if batch in waiting)])

    def _split(self, stream: str, suspects: Collection[QueuedBatch]) -> bool:
        """Count an attempt of each suspect and split those attempted too often.

        If any was split, all batches of the stream that are sent again get new sequence
        numbers. Returns whether that is so.
        """
        batches: list[QueuedBatch] = []
        was_split = False
        for batch in self._streams[stream]:
            buffers = [batch.buffer]
            if batch in suspects:
                batch.attempts += 1
                buffers = split(batch.buffer, batch.attempts)
            was_split = was_split or len(buffers) > 1
            if self._is_resent(batch):
                batches += [batch] if len(buffers) == 1 else _pieces(batch, buffers)
        if was_split:
            for batch in batches:
                batch.sequence = self._take_number(stream, batch.epoch)
            self._streams[stream] = deque(batches)
        return was_split

    def _take_number(self, stream: str, epoch: int) -> int:
        number = self._next.get((stream, epoch), 0)
        self._next[stream, epoch] = number + 1
        return number

    def _is_resent(self, batch: QueuedBatch) -> bool:
        """Whether a batch is sent again when its stream gets new sequence numbers."""
        return not batch.processed.done()


def _pieces(batch: QueuedBatch, buffers: list[bytes]) -> list[QueuedBatch]:
    """Return a batch in pieces. The batch is processed when all of them are."""
    loop = asyncio.get_running_loop()
    remaining = len(buffers)

    def finished(_: "asyncio.Future[Sequence[Forwarded]]") -> None:
        nonlocal remaining
        remaining -= 1
        if not remaining and not batch.processed.done():
            batch.processed.set_result([e for piece in pieces for e in piece.processed.result()])

    pieces = [
        QueuedBatch(
            batch.stream, batch.epoch, batch.sequence, buffer, loop.create_future(),
            batch.origin, batch.attempts,
        )
        for buffer in buffers
    ]  # fmt: skip
    for piece in pieces:
        piece.processed.add_done_callback(finished)
    return pieces
