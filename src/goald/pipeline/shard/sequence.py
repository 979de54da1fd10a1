"""The order of batches at a shard: accepts only the next batch of each stream."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from goald.domain.errors import LeaseLost, OutOfSequence
from goald.pipeline.shard_batch import Forwarded, ShardBatch

TURN_SECONDS = 0.5
"""How long a batch that arrived too early waits for its predecessors."""


@dataclass(slots=True)
class _Progress:
    epoch: int
    next: int
    in_flight: dict[int, asyncio.Future[Sequence[Forwarded]]] = field(default_factory=dict)
    """Those of batches with events to pass on stay until the sender knows the answer (E21)."""

    def answered(self, sequence: int) -> None:
        """A batch is processed."""
        future = self.in_flight[sequence]
        if future.cancelled() or not future.result():
            del self.in_flight[sequence]

    def forget(self, first_unacknowledged: int) -> None:
        """The sender knows that earlier batches are processed."""
        for sequence in [at for at in self.in_flight if at < first_unacknowledged]:
            if self.in_flight[sequence].done():
                del self.in_flight[sequence]


class Sequencer:
    """Admits the batches of every stream in order. A repeated batch has no second effect."""

    def __init__(self) -> None:
        self._streams: dict[str, _Progress] = {}
        self._early: dict[tuple[str, int, int], asyncio.Event] = {}

    async def turn(self, batch: ShardBatch) -> None:
        """Return when a batch can be admitted, or when it is clear that it cannot.

        Concurrent calls may arrive in another order than they were made, so a batch that
        arrives too early waits up to TURN_SECONDS for its predecessors.
        """
        progress = self._streams.get(batch.stream)
        first = batch.first_unacknowledged
        if progress is None or batch.epoch > progress.epoch:
            is_early = batch.sequence != first
        else:
            is_early = batch.epoch == progress.epoch and progress.next < batch.sequence != first
        if not is_early:
            return
        key = (batch.stream, batch.epoch, batch.sequence)
        admissible = self._early.setdefault(key, asyncio.Event())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TURN_SECONDS):
                await admissible.wait()
        self._early.pop(key, None)

    def admit(self, batch: ShardBatch) -> tuple["asyncio.Future[Sequence[Forwarded]]", bool]:
        """Return the future of the batch's completion, and whether to process the batch.

        A batch that was admitted before is not processed again: its future is the earlier one,
        or is already done. Raises OutOfSequence if the batch is not the next of its stream, and
        LeaseLost if a later epoch has replaced its own.
        """
        progress = self._streams.get(batch.stream)
        first = batch.first_unacknowledged
        if progress is not None and batch.epoch < progress.epoch:
            raise LeaseLost(
                f"{batch.stream}: batch of epoch {batch.epoch}, "
                f"but epoch {progress.epoch} has replaced it"
            )
        if progress is None or batch.epoch > progress.epoch:
            if batch.sequence != first:
                raise OutOfSequence(
                    f"{batch.stream}: expected the first batch {first}, got {batch.sequence}"
                )
            progress = self._streams[batch.stream] = _Progress(batch.epoch, batch.sequence)
        if progress.next < batch.sequence == first:
            # The sender split its unacknowledged batches and gave them new sequence numbers.
            # Batches that this shard accepted under the old numbers follow under new ones.
            progress.next = batch.sequence
        if batch.sequence > progress.next:
            raise OutOfSequence(
                f"{batch.stream}: expected batch {progress.next}, got {batch.sequence}"
            )
        if progress.in_flight:
            progress.forget(first)
        loop = asyncio.get_running_loop()
        if batch.sequence < progress.next:
            done = progress.in_flight.get(batch.sequence)
            if done is None:
                done = loop.create_future()
                done.set_result(())
            return done, False
        future: asyncio.Future[Sequence[Forwarded]] = loop.create_future()
        progress.next += 1
        successor = self._early.get((batch.stream, batch.epoch, progress.next))
        if successor is not None:
            successor.set()
        progress.in_flight[batch.sequence] = future
        future.add_done_callback(lambda _: progress.answered(batch.sequence))
        return future, True
