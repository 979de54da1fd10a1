"""Admits the events that the streams have room for.

A stream has room for its bound less the memory that it takes. The unprocessed events of one tenant
may take as much as is still free ("dynamic threshold"): one tenant fills half of a stream at most,
two fill a third each, and there is always room for a tenant that has sent little.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import structlog

from goald.api.admission.ledger import SentLedger
from goald.api.problems import TooManyRequests, Unavailable
from goald.domain.errors import ServiceUnavailable
from goald.domain.streams import partition_of
from goald.metrics.api import AdmissionMetrics
from goald.pipeline.intake import AcceptedEvent
from goald.ports.clock import Clock
from goald.ports.stream_admin import StreamLevelReader, StreamLevels

REFRESH_S: Final = 2.0
"""The age from which levels are read again."""
RECHECK_S: Final = 0.2
"""The age from which levels are read again before a request is refused."""
PATIENCE_S: Final = 0.25
"""How long a request waits for the levels. Without them, the latest known ones apply."""
SERVER_SHARE: Final = 0.9
"""The share of Redis' memory limit that events may fill. The rest is for exits, dead letters and
keys that goald needs to continue."""
_ENTRY_BYTES: Final = 50
"""The approximate overhead of a stream entry."""
_RETRY: Final = {"Retry-After": "5"}

_log = structlog.stdlib.get_logger(__name__)


class StreamAdmission:
    """The admission of one API process. Each process counts the events that it sent; the memory
    that Redis reports includes those of all processes. Bound to one event loop."""

    def __init__(
        self,
        levels: StreamLevelReader,
        clock: Clock,
        metrics: AdmissionMetrics,
        *,
        max_bytes: int,
    ) -> None:
        """`max_bytes`: the bound of each stream (GOALD_STREAM_BYTES). The caller closes
        `levels`."""
        self._reader = levels
        self._clock = clock
        self._metrics = metrics
        self._max_bytes = max_bytes
        self._ledger = SentLedger()
        self._levels: StreamLevels | None = None
        self._read_at = -REFRESH_S
        self._attempted_at = -REFRESH_S
        self._turn = asyncio.Lock()
        self._since_read: dict[int, int] = {}
        """Bytes admitted since the levels were read, by partition."""

    async def admit(self, tenant: str, events: Sequence[AcceptedEvent]) -> None:
        """Return if the streams have room for these events, all or none, and count them as sent.

        Raises TooManyRequests if the tenant's unprocessed events take more of a stream than is
        still free; Unavailable if a stream or Redis is full for every tenant. Admits everything
        until Redis has reported its memory once.
        """
        await self._refresh(REFRESH_S)
        sizes = self._sizes(tenant, events)
        if self._no_room(tenant, sizes):
            await self._refresh(RECHECK_S)
            sizes = self._sizes(tenant, events)
            no_room = self._no_room(tenant, sizes)
            if no_room:
                stream, cause, problem = no_room
                self._metrics.no_room.labels(stream, cause).inc()
                raise problem
        if self._levels is None:
            return
        now_us = self._levels.at_us + round((self._clock.monotonic() - self._read_at) * 1e6)
        for partition, size in sizes.items():
            self._ledger.add(tenant, partition, now_us, size)
            self._since_read[partition] = self._since_read.get(partition, 0) + size

    def _sizes(self, tenant: str, events: Sequence[AcceptedEvent]) -> Mapping[int, int]:
        """The memory that these events take, by partition; none while the number of streams is
        unknown."""
        sizes: dict[int, int] = {}
        if self._levels is None:
            return sizes
        streams = len(self._levels.events)
        for event in events:
            partition = partition_of(tenant, event.contact, streams)
            sizes[partition] = sizes.get(partition, 0) + len(event.payload) + _ENTRY_BYTES
        return sizes

    def _no_room(
        self, tenant: str, sizes: Mapping[int, int]
    ) -> tuple[str, str, TooManyRequests | Unavailable] | None:
        """The stream without room, the cause, and the answer; None if there is room."""
        levels = self._levels
        if levels is None:
            return None
        for level in levels.outbound:
            if level.bytes >= self._max_bytes:
                return level.name, "stream", _full(level.name)
        in_server = self._free_in_server(levels)
        for partition, size in sizes.items():
            name = levels.events[partition].name
            if size > in_server:
                return name, "redis", _full("Redis")
            free = min(self._free(levels, partition), in_server)
            if size > free:
                return name, "stream", _full(name)
            unprocessed = self._ledger.unprocessed(tenant, partition)
            if unprocessed + size > free:
                return name, "tenant", _too_much(name, unprocessed, free)
        return None

    def _free(self, levels: StreamLevels, partition: int) -> int:
        """Bytes that the stream has room for. Redis only samples the stream, so what this process
        knows to be in it counts as well."""
        reported = levels.events[partition].bytes + self._since_read.get(partition, 0)
        return self._max_bytes - max(reported, self._ledger.sent(partition))

    def _free_in_server(self, levels: StreamLevels) -> int:
        if levels.max_bytes is None:
            return self._max_bytes
        limit = int(levels.max_bytes * SERVER_SHARE)
        return limit - levels.used_bytes - sum(self._since_read.values())

    async def _refresh(self, max_age_s: float) -> None:
        """Read the levels unless they are younger than this. Logs the first failure of several."""
        if self._is_fresh(max_age_s):
            return
        async with self._turn:
            if self._is_fresh(max_age_s):
                return
            has_failed = self._attempted_at > self._read_at
            self._attempted_at = self._clock.monotonic()
            try:
                async with asyncio.timeout(PATIENCE_S):
                    levels = await self._reader.read()
            except (ServiceUnavailable, TimeoutError) as error:
                if not has_failed:
                    _log.warning("cannot read the memory of the streams", error=str(error))
                return
            self._levels = levels
            self._read_at = self._attempted_at = self._clock.monotonic()
            self._since_read.clear()
            self._ledger.forget(levels)

    def _is_fresh(self, max_age_s: float) -> bool:
        now = self._clock.monotonic()
        return now - self._read_at < max_age_s or now - self._attempted_at < RECHECK_S


def _full(name: str) -> Unavailable:
    return Unavailable(
        f"{name} has no room for more events, because goald or a reader of its streams is behind; "
        "retry later",
        headers=_RETRY,
    )


def _too_much(name: str, unprocessed: int, free: int) -> TooManyRequests:
    return TooManyRequests(
        f"goald is behind: {unprocessed:,} bytes of this tenant's events wait in {name}, which has "
        f"room for {max(free, 0):,} more bytes of all tenants; retry later",
        headers=_RETRY,
    )
