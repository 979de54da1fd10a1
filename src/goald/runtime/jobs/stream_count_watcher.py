"""The daemon's look at the number of event streams: it reads as many as it started with."""

import contextlib
from typing import Protocol

import structlog

from goald.domain.errors import ServiceUnavailable, StreamCountMismatch
from goald.ports.clock import Clock

EVERY_SECONDS = 1.0

_log = structlog.stdlib.get_logger(__name__)


class StreamCounts(Protocol):
    """Where the number of event streams is kept. Raises ServiceUnavailable."""

    async def stored_stream_count(self) -> int | None:
        """The number that is kept; None where there is none."""

    async def ensure_stream_count(self, desired: int | None) -> int:
        """Keep `wanted`, where none is kept."""


class StreamCountWatcher:
    """Ends the daemon when `goald streams set` has changed the number, so that it is started
    again with the new one; until then the streams that it reads are read in order (3.2)."""

    def __init__(self, counts: StreamCounts, running: int, clock: Clock) -> None:
        """`running`: how many streams are read."""
        self._counts = counts
        self._running = running
        self._clock = clock

    async def run(self) -> None:
        """Look each second until cancelled. Raises StreamCountMismatch when the number is
        another. One that is gone, as after the loss of Redis' data, is put back."""
        while True:
            with contextlib.suppress(ServiceUnavailable):  # others say so
                await self.once()
            await self._clock.sleep(EVERY_SECONDS)

    async def once(self) -> None:
        """Look now."""
        held = await self._counts.stored_stream_count()
        if held is None:
            held = await self._counts.ensure_stream_count(self._running)
            _log.warning("the number of event streams was gone, and is put back", streams=held)
        if held != self._running:
            raise StreamCountMismatch(
                f"there are {held} event streams now, and this goald reads {self._running}: it "
                f"ends, to be started again (with GOALD_STREAMS={held}, where that is set)"
            )
