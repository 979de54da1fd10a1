"""Circuit breaker: stops processing when the events that fail indicate a fault in goald (D4)."""

import asyncio
from collections import deque

from prometheus_client import Gauge

from goald.domain.errors import BreakerOpen

BREAKER_EVENTS = 100
"""This many failed events in a row, of at least two tenants, open the breaker."""


class CircuitBreaker:
    """Counts failed events in a row. An open breaker stays open until the process restarts."""

    def __init__(self, gauge: Gauge, limit: int = BREAKER_EVENTS) -> None:
        """`gauge` is 1 while the breaker is open."""
        self._gauge = gauge
        self._tenants: deque[str] = deque(maxlen=limit)
        self._not_ready_reason: str | None = None
        self._opened = asyncio.Event()
        gauge.set(0)

    @property
    def not_ready_reason(self) -> str | None:
        """Why processing has stopped. None while the breaker is closed."""
        return self._not_ready_reason

    def check(self) -> None:
        """Raise BreakerOpen if the breaker is open."""
        if self._not_ready_reason is not None:
            raise BreakerOpen(self._not_ready_reason)

    async def wait_open(self) -> None:
        """Wait until the breaker is open, then raise BreakerOpen."""
        await self._opened.wait()
        self.check()

    def record_failure(self, tenant: str) -> None:
        """Record an event of this tenant that is about to be dead-lettered.

        Raises BreakerOpen if this failure opens the breaker; then the event must not be
        dead-lettered.
        """
        self._tenants.append(tenant)
        if len(self._tenants) == self._tenants.maxlen and len(set(self._tenants)) > 1:
            self.open(
                f"{len(self._tenants)} events in a row, of several tenants, could not be "
                "processed: goald:dead has the reasons"
            )
            self.check()

    def open(self, not_ready_reason: str) -> None:
        """Open the breaker because another process's breaker is open."""
        self._gauge.set(1)
        self._not_ready_reason = self._not_ready_reason or not_ready_reason
        self._opened.set()

    def record_success(self) -> None:
        """Record that an event was processed."""
        self._tenants.clear()
