"""The batches of one stream that were read and are not acknowledged, in the stream's order."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from goald.pipeline.ingest.route import RoutedBatch
from goald.pipeline.ingest.window import InFlightWindow
from goald.pipeline.shard_batch import Forwarded
from goald.pipeline.stall_detector import STALL_SECONDS
from goald.ports.clock import Clock
from goald.ports.event_stream import RawEntry
from goald.ports.outbound import DeadLetter


@dataclass(frozen=True, slots=True)
class InFlightBatch:
    """One read's entries on their way through the shards."""

    last_id: bytes
    """The id of its last entry."""
    entries: int
    size: int
    dead_letters: list[DeadLetter]
    processed: "list[asyncio.Future[Sequence[Forwarded]]]"
    dispatched_at: float
    """By the monotonic clock."""

    async def wait(self, seconds: float | None = None) -> None:
        """Wait until the shards have processed the batch, or until the timeout. Neither a
        timeout nor a cancellation affects the processing."""
        if self.processed:
            await asyncio.wait(self.processed, timeout=seconds)

    @property
    def forwarded(self) -> "list[Forwarded]":
        """The events to pass on (E21), once the shards have processed the batch."""
        return [events for future in self.processed for events in future.result()]


class InFlight:
    """The batches in flight, bounded by a window."""

    patience = STALL_SECONDS
    """Seconds after which a batch that is still in flight makes the consumer not ready."""

    def __init__(
        self, window: InFlightWindow, clock: Clock, awaits_deferred: Callable[[], bool]
    ) -> None:
        """`awaits_deferred`: whether shards are processing deferred events. These take as long as
        the work of their tenant (D8), and the shards report it if they do not progress."""
        self._window = window
        self._clock = clock
        self._awaits_deferred = awaits_deferred
        self._batches: deque[InFlightBatch] = deque()
        self._changed = asyncio.Condition()

    @property
    def not_ready_reason(self) -> str | None:
        """Why the consumer is not ready: the first batch has been in flight for too long, and not
        because events are deferred."""
        if not self._batches or self._awaits_deferred():
            return None
        seconds = self._clock.monotonic() - self._batches[0].dispatched_at
        if seconds <= self.patience:
            return None
        return f"events read {seconds:.0f} s ago have not been processed"

    def reserve(self, size: int) -> Awaitable[None]:
        """Wait for room in the window for a batch that is going to be added."""
        return self._window.enter(size)

    async def add(
        self,
        entries: list[RawEntry],
        routed: RoutedBatch,
        processed: "list[asyncio.Future[Sequence[Forwarded]]]",
    ) -> InFlightBatch:
        """Add a batch, for which room was reserved. `processed` has a future for each buffer."""
        last_id, now = entries[-1][0], self._clock.monotonic()
        batch = InFlightBatch(
            last_id, len(entries), routed.size, routed.dead_letters, processed, now
        )
        self._batches.append(batch)
        async with self._changed:
            self._changed.notify_all()
        return batch

    async def first(self) -> InFlightBatch:
        """Return the batch to acknowledge next; wait if there is none."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._batches)
        return self._batches[0]

    def wait_processed(self, batch: InFlightBatch) -> Awaitable[None]:
        """Wait until a batch may be acknowledged: the shards have processed it."""
        return batch.wait()

    async def remove_first(self) -> None:
        """Remove the first batch and free its room."""
        await self._window.leave(self._batches.popleft().size)
        async with self._changed:
            self._changed.notify_all()

    async def wait_idle(self) -> None:
        """Wait until no shard has anything left to do: everything is acknowledged."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._batches)

    async def discard(self) -> None:
        """Wait until the shards have processed every batch, and remove them unacknowledged."""
        while self._batches:
            await self._batches[0].wait()
            await self.remove_first()
