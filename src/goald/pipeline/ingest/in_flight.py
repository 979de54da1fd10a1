"""What was read of a stream and is not acknowledged, in the order of the stream."""

import asyncio
from collections import deque
from dataclasses import dataclass

from goald.pipeline.ingest.window import InFlightWindow
from goald.ports.clock import Clock
from goald.ports.outbound import DeadLetter


@dataclass(frozen=True, slots=True)
class InFlightBatch:
    """A batch on its way through the shards."""

    last: bytes
    """The id of its last entry."""
    entries: int
    size: int
    dead: list[DeadLetter]
    done: "list[asyncio.Future[None]]"
    at: float
    """When it was handed over, by the monotonic clock."""

    async def wait(self, seconds: float | None = None) -> None:
        """Until the shards are done with it, at most so long. Who gives up waiting gives up
        nothing else."""
        if self.done:
            await asyncio.wait(self.done, timeout=seconds)


class InFlight:
    """Batches under way, bounded by a window."""

    def __init__(self, window: InFlightWindow, clock: Clock) -> None:
        self._window = window
        self._clock = clock
        self._batches: deque[InFlightBatch] = deque()
        self._changed = asyncio.Condition()

    @property
    def seconds(self) -> float:
        """How long the first batch has been under way; 0 where none is."""
        return self._clock.monotonic() - self._batches[0].at if self._batches else 0.0

    async def put(self, batch: InFlightBatch) -> None:
        """The window was entered for it."""
        self._batches.append(batch)
        async with self._changed:
            self._changed.notify_all()

    async def first(self) -> InFlightBatch:
        """The batch that is to be acknowledged next; waits for one."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._batches)
        return self._batches[0]

    async def leave(self) -> None:
        """The first batch is under way no longer."""
        await self._window.leave(self._batches.popleft().size)
        async with self._changed:
            self._changed.notify_all()

    async def empty(self) -> None:
        """Wait until nothing is under way."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._batches)

    async def done(self) -> None:
        """Wait until the shards are done with all of it."""
        for batch in tuple(self._batches):
            await batch.wait()

    async def let_go(self) -> None:
        """Wait until the shards are done with all of it, and forget it."""
        while self._batches:
            await self._batches[0].wait()
            await self.leave()
