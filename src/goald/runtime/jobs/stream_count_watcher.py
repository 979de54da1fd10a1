"""The daemon's check that the number of event streams has not changed since its start."""

import contextlib
from typing import Protocol

import structlog

from goald.domain.errors import ServiceUnavailable, StreamCountMismatch
from goald.ports.clock import Clock

EVERY_SECONDS = 1.0

_log = structlog.stdlib.get_logger(__name__)


class StreamCounts(Protocol):
    """Stores the number of event streams. Raises ServiceUnavailable."""

    async def stored_stream_count(self) -> int | None:
        """The stored number; None if none is stored."""

    async def ensure_stream_count(self, desired: int | None) -> int:
        """The stored number, after storing `desired` if none was stored. Raises StreamCountMismatch
        if it differs from `desired`."""


class StreamCountWatcher:
    """Ends the daemon when `goald streams set` has changed the number of event streams, so that
    it restarts with the new number. Until then the daemon reads its streams in order."""

    def __init__(self, counts: StreamCounts, running: int, clock: Clock) -> None:
        """`running`: the number of streams that this daemon reads."""
        self._counts = counts
        self._running = running
        self._clock = clock

    async def run(self) -> None:
        """Check every second until cancelled. Raises StreamCountMismatch if the number has
        changed. Stores the number again if it is missing because Redis lost data."""
        while True:
            # ReadingsWatcher reports the outage to the console.
            with contextlib.suppress(ServiceUnavailable):
                await self.check()
            await self._clock.sleep(EVERY_SECONDS)

    async def check(self) -> None:
        """Check once."""
        current = await self._counts.stored_stream_count()
        if current is None:
            current = await self._counts.ensure_stream_count(self._running)
            _log.warning("stored the missing number of event streams again", streams=current)
        if current != self._running:
            raise StreamCountMismatch(
                f"The number of event streams changed from {self._running} to {current}. Restart "
                f"goald; if GOALD_STREAMS is set, set it to {current}."
            )
