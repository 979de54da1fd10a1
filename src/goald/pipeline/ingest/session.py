"""A consumer's session with one stream: claims it, and claims it again after Redis was replaced."""

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable
from functools import partial

from goald.domain.errors import (
    BreakerOpen,
    LeaseLost,
    RetryableError,
    ServerReplaced,
    is_infrastructure_failure,
)
from goald.domain.fail_points import FailPoint
from goald.domain.leases import StreamLease
from goald.pipeline.context import ConsumerContext
from goald.pipeline.ingest.in_flight import InFlightBatch
from goald.pipeline.ingest.read import StreamReader
from goald.pipeline.poison.crash_loop_guard import CrashLoopGuard
from goald.pipeline.retry import pauses
from goald.ports.event_stream import EventStream, RawEntry

log = logging.getLogger(__name__)

END_SECONDS = 1.0
"""The longest clean end of a session."""
CHECK_SECONDS = 1.0
"""Seconds between two checks for entries that were trimmed unread."""


class StreamSession:
    """One stream under one lease. Every call is retried while Redis is unavailable (D6).
    LeaseLost ends `run`; after ServerReplaced, `run` claims the stream again."""

    def __init__(
        self,
        context: ConsumerContext,
        stream: EventStream,
        lease: StreamLease,
        reader: StreamReader,
    ) -> None:
        self.name = stream.name
        self.epoch = lease.epoch
        self.claimed = asyncio.Event()
        """Set when the stream is claimed for the first time."""
        self._context = context
        self._stream = stream
        self._lease = lease
        self._reader = reader
        self._checked = -math.inf
        self._waiting: asyncio.Future[bool] | None = None

    @property
    def not_ready_reason(self) -> str | None:
        """Why the consumer is not ready: the stream was not claimed yet."""
        return None if self.claimed.is_set() else "starting"

    async def run(self, follow: Callable[[CrashLoopGuard], Awaitable[None]]) -> None:
        """Claim the stream and call `follow`; return when that returns.

        If Redis was replaced or lost data (D10), claim the stream and call `follow` again. If
        the circuit breaker is open, return. A session that ends for a reason unrelated to its
        events clears the count of starts, so that its end is not counted as a crash (D4).
        """
        try:
            while await self._is_replaced(follow, await self._claim_stream()):
                log.warning("%s: reading again from the acknowledged position", self.name)
        except BaseException as error:
            if is_infrastructure_failure(error):
                await self._clear_starts()
            raise
        await self._clear_starts()

    async def _is_replaced(
        self, follow: Callable[[CrashLoopGuard], Awaitable[None]], guard: CrashLoopGuard
    ) -> bool:
        """Call `follow`; return whether it ended because Redis was replaced."""
        is_replaced = False
        try:
            await follow(guard)
        except* ServerReplaced as replaced:
            log.warning("%s: %s", self.name, replaced.exceptions[0])
            self._context.metrics.replaced.labels(self.name).inc()
            is_replaced = True
        except* BreakerOpen:
            pass
        return is_replaced

    async def _claim_stream(self) -> CrashLoopGuard:
        """Fence out earlier holders, count this start, and seek to the acknowledged position."""
        retry = self._context.retry
        for pause in pauses():
            try:
                position = await retry(
                    "Redis: fence", "fence", partial(self._stream.fence, self._lease)
                )
                self._context.fail_point(FailPoint.STREAM_FENCED)
                start = await retry("Redis: count start", "count_start", self._stream.count_start)
            except ServerReplaced:
                await self._context.clock.sleep(pause)
                continue
            self.claimed.set()
            self._reader.seek(position)
            self._checked = -math.inf
            return CrashLoopGuard(self._context, self._stream, start)
        raise AssertionError("pauses never end")

    async def read(self, count: int | None = None) -> list[RawEntry]:
        """Return the next entries, at most `count`; an empty list if there are none."""
        if self._context.clock.monotonic() - self._checked >= CHECK_SECONDS:
            self._checked = self._context.clock.monotonic()
            await self._count_lost()
        entries = await self._context.retry(
            "Redis: read", "read", partial(self._reader.read, count)
        )
        if entries:
            self._context.fail_point(FailPoint.READ)
            self._context.metrics.read.labels(self.name).inc(len(entries))
            self._context.metrics.read_entries.observe(len(entries))
        return entries

    @property
    def until_ms(self) -> int:
        """See `StreamReader.until_ms`."""
        return self._reader.until_ms

    async def wait(self, seconds: float) -> None:
        """Wait until there are entries to read or `end_wait` is called, for at most this many
        seconds."""
        self._waiting = asyncio.ensure_future(
            self._context.retry("Redis: wait", "wait", partial(self._reader.wait, seconds))
        )
        try:
            await asyncio.wait({self._waiting})
            if not self._waiting.cancelled():
                self._waiting.result()
        finally:
            self._waiting.cancel()

    def end_wait(self) -> None:
        """Make the current `wait` return now."""
        if self._waiting is not None:
            self._waiting.cancel()

    def observe_size(self, entries: int, size: int) -> None:
        """Update the estimated entry size, which bounds the next read in bytes."""
        self._reader.observe_size(entries, size)

    async def pause_after(self, entries: list[RawEntry]) -> None:
        """Pause before the next read, unless the stream is behind, so that entries that arrive
        meanwhile are read together."""
        if not self._reader.is_behind(entries):
            await self._context.clock.sleep(self._reader.pause)

    async def acknowledge(self, batch: InFlightBatch) -> None:
        """Acknowledge all entries up to the last of this batch."""
        await self._context.retry(
            "Redis: acknowledge",
            "acknowledge",
            partial(self._stream.acknowledge, batch.last_id, batch.entries),
        )
        self._context.fail_point(FailPoint.ACKNOWLEDGED)
        self._context.metrics.acknowledged.labels(self.name).inc(batch.entries)
        self._context.metrics.rejected.inc(len(batch.dead_letters))

    async def _count_lost(self) -> None:
        lost = await self._context.retry("Redis: count lost", "count_lost", self._reader.count_lost)
        if lost:
            log.error("%s: at least %d entries were trimmed before they were read", self.name, lost)
            self._context.metrics.lost.labels(self.name).inc(lost)

    async def _clear_starts(self) -> None:
        """Clear the count of starts, if Redis is available."""
        with contextlib.suppress(RetryableError, LeaseLost, ServerReplaced, TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await self._stream.clear_starts()
