"""The job that keeps the memory of the streams within their bound (GOALD_STREAM_BYTES)."""

from typing import Final, Protocol

import structlog

from goald.domain.errors import GoaldError
from goald.metrics.jobs import StreamBoundMetrics
from goald.ports.clock import Clock
from goald.ports.stream_admin import StreamLevel, StreamLevelReader, StreamLevels
from goald.redis_keys import GROUP

EVERY_SECONDS: Final = 2.0
ACKNOWLEDGED_SHARE: Final = 0.5
"""The share of the bound that acknowledged entries may take. The rest is room for entries that
goald has not processed."""
PRESSURE: Final = 0.75
"""Above this share of the server's memory limit, acknowledged events are not kept at all."""
MAX_CALLS: Final = 100
"""Calls per stream in one pass, so that a large stream does not delay the others."""

_log = structlog.stdlib.get_logger(__name__)


class ByteTrimmer(Protocol):
    """Trims a stream, but never an entry that a group has not acknowledged."""

    async def trim(self, stream: str, target_bytes: int, reader: str | None) -> int:
        """Remove some of the oldest entries of a stream that takes more than `target_bytes`, and
        return their number; 0 if there is nothing left to remove. Raises GoaldError."""

    async def close(self) -> None: ...


class StreamBounds:
    """Measures the streams, and trims acknowledged entries of those that take too much memory
    although they are younger than GOALD_KEEP (D5). Several instances may run it at the same time.
    """

    def __init__(
        self,
        levels: StreamLevelReader,
        trimmer: ByteTrimmer,
        max_bytes: int,
        metrics: StreamBoundMetrics,
        clock: Clock,
    ) -> None:
        self._levels = levels
        self._trimmer = trimmer
        self._target = int(max_bytes * ACKNOWLEDGED_SHARE)
        self._metrics = metrics
        self._clock = clock
        self._failures: set[str] = set()

    async def run(self) -> None:
        """Run every 2 s until cancelled. Logs each failure once; it never ends the daemon."""
        try:
            while True:
                await self.once()
                await self._clock.sleep(EVERY_SECONDS)
        finally:
            await self._trimmer.close()
            await self._levels.close()

    async def once(self) -> None:
        """Measure every stream, and trim those that exceed their target."""
        failures: set[str] = set()
        try:
            levels = await self._levels.read()
            for level in levels.all():
                self._metrics.bytes.labels(level.name).set(level.bytes)
            for level, reader, target in self._targets(levels):
                if level.bytes > target:
                    await self._trim(level.name, target, reader)
        except GoaldError as error:
            failures = {str(error)}
        for text in failures - self._failures:
            _log.warning("cannot bound the streams; retrying", error=text)
        self._failures = failures

    def _targets(self, levels: StreamLevels) -> list[tuple[StreamLevel, str | None, int]]:
        """Each stream to trim, the group without which it is not trimmed, and its target."""
        limit = levels.max_bytes
        under_pressure = limit is not None and levels.used_bytes > limit * PRESSURE
        events = [(level, GROUP, 0 if under_pressure else self._target) for level in levels.events]
        outbound = [(level, None, self._target) for level in levels.outbound]
        return [*events, *outbound]

    async def _trim(self, stream: str, target: int, reader: str | None) -> None:
        for _ in range(MAX_CALLS):
            trimmed = await self._trimmer.trim(stream, target, reader)
            if not trimmed:
                break
            self._metrics.trimmed_early.labels(stream).inc(trimmed)
