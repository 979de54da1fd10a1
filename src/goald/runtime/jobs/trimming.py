"""The job that removes acknowledged and old entries from the streams (D5)."""

from typing import Protocol

import structlog

from goald.domain.errors import GoaldError, ServiceUnavailable
from goald.domain.slots import SLOTS
from goald.metrics.jobs import TrimmingMetrics
from goald.ports.clock import Clock
from goald.redis_keys import EXITS, GROUP, NOTICES, event_stream

EVERY_SECONDS = 30.0
RETRY_SECONDS = 5.0

_log = structlog.stdlib.get_logger(__name__)

_READERS: dict[str, str | None] = {
    **{event_stream(partition): GROUP for partition in range(SLOTS)},
    EXITS: None,
    NOTICES: None,
}
"""The streams to trim, and the consumer group without which a stream is not trimmed. Includes
every possible event stream, because their number may have been greater."""


class Trimmer(Protocol):
    """Trims a stream, but never an entry that its reader has not acknowledged."""

    async def trim(
        self, stream: str, keep_seconds: float, oldest_seconds: float, reader: str | None
    ) -> int:
        """Remove some of the oldest entries and return their number; 0 if there is nothing left
        to remove: entries older than `keep_seconds` that every group has acknowledged, and entries
        older than `oldest_seconds` that `reader` has acknowledged, or of a stream without groups if
        `reader` is None. Raises GoaldError."""

    async def close(self) -> None: ...


class Trimming:
    """Keeps streams trimmed. Several instances may run it at the same time."""

    def __init__(
        self,
        trimmer: Trimmer,
        keep_seconds: float,
        oldest_seconds: float,
        metrics: TrimmingMetrics,
        clock: Clock,
    ) -> None:
        """`oldest_seconds`: the age (GOALD_ERASURE) at which an entry is removed although another
        group of an event stream has not acknowledged it, or the stream has no group. A quarter of
        it is left for a Redis that is unavailable."""
        self._trimmer = trimmer
        self._oldest_seconds = oldest_seconds * 3 / 4
        self._keep_seconds = min(keep_seconds, self._oldest_seconds)
        self._metrics = metrics
        self._clock = clock

    async def run(self) -> None:
        """Run immediately and then every 30 s, until cancelled. Logs a failure and retries; it
        never ends the daemon."""
        try:
            while True:
                await self._clock.sleep(EVERY_SECONDS if await self.once() else RETRY_SECONDS)
        finally:
            await self._trimmer.close()

    async def once(self) -> bool:
        """Trim every stream, and return whether all succeeded. A stream that cannot be trimmed
        does not delay the others."""
        failures: dict[str, str] = {}
        for stream, reader in _READERS.items():
            try:
                await self._trim(stream, reader)
            except ServiceUnavailable as error:  # the other streams would fail too
                failures[str(error)] = stream
                break
            except GoaldError as error:
                failures[str(error)] = stream
        for text, stream in failures.items():
            _log.warning("cannot trim a stream; retrying", stream=stream, error=text)
        return not failures

    async def _trim(self, stream: str, reader: str | None) -> None:
        while trimmed := await self._trimmer.trim(
            stream, self._keep_seconds, self._oldest_seconds, reader
        ):
            self._metrics.trimmed.labels(stream).inc(trimmed)
