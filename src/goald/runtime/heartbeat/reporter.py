"""HeartbeatReporter: a process says every second that it lives, how it is, and what it counted."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from prometheus_client import CollectorRegistry

from goald.domain.errors import ServiceUnavailable
from goald.metrics import snapshot
from goald.ports.clock import Clock
from goald.runtime.connections import CLOSE_SECONDS
from goald.runtime.heartbeat.heartbeats import Heartbeat

BEAT_SECONDS = 1.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ProcessRegistry(Protocol):
    """Where heartbeats are left for whoever wants to know. Raises ServiceUnavailable."""

    async def write(self, heartbeat: Heartbeat) -> None: ...
    async def remove(self, role: str, index: int) -> None: ...
    async def close(self) -> None: ...


class HeartbeatReporter:
    """The heartbeats of one process."""

    def __init__(
        self,
        role: str,
        index: int,
        *,
        board: ProcessRegistry,
        clock: Clock,
        describe: Callable[[], dict[str, Any] | None],
        registry: CollectorRegistry | None = None,
    ) -> None:
        """`describe` gives the fields of `Heartbeat` that change: `ready` at least, and
        `not_ready_reason` where it is not; None where nothing is to be said."""
        self._role = role
        self._index = index
        self._board = board
        self._clock = clock
        self._registry = registry
        self._describe = describe
        self._started_at = self._now()

    async def run(self) -> None:
        """Beat until cancelled. A Redis that is away is passed over: silence tells of it."""
        while True:
            await self.beat()
            await self._clock.sleep(BEAT_SECONDS)

    async def beat(self) -> None:
        """One heartbeat now."""
        said = self._describe()
        if said is None:
            return
        heartbeat = Heartbeat(
            role=self._role,
            index=self._index,
            pid=os.getpid(),
            host=socket.gethostname(),
            started_at=self._started_at,
            at=self._now(),
            **said,
            metrics=snapshot(self._registry) if self._registry is not None else [],
        )
        with contextlib.suppress(ServiceUnavailable):
            await self._board.write(heartbeat)

    async def end(self) -> None:
        """Take the heartbeat away: the process ends as it should. It does not wait for a Redis
        that does not answer, since a stop has its time (D7)."""
        with contextlib.suppress(ServiceUnavailable, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._board.remove(self._role, self._index)

    async def close(self) -> None:
        """Close the connection, whether or not the heartbeat was taken away."""
        await self._board.close()

    def _now(self) -> datetime:
        return _EPOCH + timedelta(microseconds=self._clock.now_us())
