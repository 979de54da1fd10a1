"""A process reports its state and its metrics to the process registry every second."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from prometheus_client import CollectorRegistry

from goald.domain.errors import ServiceUnavailable
from goald.metrics.instance import snapshot
from goald.ports.clock import Clock
from goald.ports.process_registry import Heartbeat, ProcessRegistry
from goald.runtime.connections import CLOSE_SECONDS

INTERVAL_SECONDS = 1.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class HeartbeatReporter:
    """Sends the heartbeats of one process."""

    def __init__(
        self,
        role: str,
        index: int,
        *,
        processes: ProcessRegistry,
        clock: Clock,
        describe: Callable[[], dict[str, Any] | None],
        registry: CollectorRegistry | None = None,
    ) -> None:
        """`describe` returns the fields of `Heartbeat` that change: `ready`, and
        `not_ready_reason` if the process is not ready. If it returns None, no heartbeat is sent.
        `registry`: the metrics to send."""
        self._role = role
        self._index = index
        self._processes = processes
        self._clock = clock
        self._registry = registry
        self._describe = describe
        self._started_at = self._now()

    async def run(self) -> None:
        """Send a heartbeat every second until cancelled. Ignores a registry that cannot be
        reached: the age of the latest heartbeat shows it."""
        while True:
            await self.send()
            await self._clock.sleep(INTERVAL_SECONDS)

    async def send(self) -> None:
        """Send one heartbeat now."""
        state = self._describe()
        if state is None:
            return
        heartbeat = Heartbeat(
            role=self._role,
            index=self._index,
            pid=os.getpid(),
            host=socket.gethostname(),
            started_at=self._started_at,
            at=self._now(),
            **state,
            metrics=snapshot(self._registry) if self._registry is not None else [],
        )
        with contextlib.suppress(ServiceUnavailable):
            await self._processes.write(heartbeat)

    async def remove(self) -> None:
        """Remove the heartbeat, because the process ends in order. Waits at most CLOSE_SECONDS,
        because a stop has a deadline (D7)."""
        with contextlib.suppress(ServiceUnavailable, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._processes.remove(self._role, self._index)

    async def close(self) -> None:
        """Close the connection. Does not remove the heartbeat."""
        await self._processes.close()

    def _now(self) -> datetime:
        return _EPOCH + timedelta(microseconds=self._clock.now_us())
