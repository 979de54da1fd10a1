"""Marks: a shard learns until when a consumer has dispatched the entries of each stream (X6)."""

import asyncio
import contextlib

from goald.domain.errors import BreakerOpen, RetryableError
from goald.pipeline.ingest.outstanding import Outstanding
from goald.pipeline.shard_batch import Shard
from goald.ports.clock import Clock

MARK_SECONDS = 0.05
"""Between two marks of a stream, if the shard runs workflows."""
PROBE_SECONDS = 1.0
"""Between two marks of a stream, if it does not."""


class MarkSender:
    """Sends the marks of one consumer's streams to one shard, in separate calls: a call with
    batches returns when these are committed. There is one call at a time, with the latest mark of
    each stream, so a busy stream does not cause more of them."""

    def __init__(self, shard: Shard, outstanding: Outstanding, clock: Clock) -> None:
        self._shard = shard
        self._outstanding = outstanding
        self._clock = clock
        self._until: dict[str, tuple[int, int]] = {}
        """By stream: its epoch, and until when its entries were dispatched."""
        self._filled = asyncio.Event()
        self.seconds = PROBE_SECONDS
        """How often a stream must be marked."""

    def put(self, stream: str, epoch: int, until_ms: int) -> None:
        """The dispatcher was given the entries of a stream until this time. Does not wait."""
        self._until[stream] = (epoch, until_ms)
        self._filled.set()

    async def run(self) -> None:
        """Send marks until cancelled. Marks that do not reach the shard are not repeated, because
        newer ones follow."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            marks = [
                self._outstanding.mark(stream, epoch, until_ms)
                for stream, (epoch, until_ms) in self._until.items()
            ]
            self._until.clear()
            with contextlib.suppress(RetryableError, BreakerOpen):
                is_needed = await self._shard.mark(marks)
                self.seconds = MARK_SECONDS if is_needed else PROBE_SECONDS
            await self._clock.sleep(self.seconds)
