"""Events that cannot be processed, one after another: when that is a fault of ours (D4)."""

from collections import deque

from prometheus_client import Gauge

from goald.domain.errors import BreakerOpen

BREAKER_EVENTS = 100
"""So many in a row, of two tenants or more, are a bad release and not bad events."""


class CircuitBreaker:
    """Counts events that were set aside without one in between that was processed. Once it is
    open it stays open: somebody is to look, and to start the process anew."""

    def __init__(self, gauge: Gauge, most: int = BREAKER_EVENTS) -> None:
        self._gauge = gauge
        self._tenants: deque[str] = deque(maxlen=most)
        self._not_ready_reason: str | None = None
        gauge.set(0)

    @property
    def not_ready_reason(self) -> str | None:
        """Why nothing is processed any more; None while it is closed."""
        return self._not_ready_reason

    def check(self) -> None:
        """Raises BreakerOpen where it is open."""
        if self._not_ready_reason is not None:
            raise BreakerOpen(self._not_ready_reason)

    def failed(self, tenant: str) -> None:
        """An event of this tenant is about to be set aside. Raises BreakerOpen where it is
        not to be: too many went before it."""
        self._tenants.append(tenant)
        if len(self._tenants) == self._tenants.maxlen and len(set(self._tenants)) > 1:
            self.open(
                f"{len(self._tenants)} events in a row, of several tenants, could not be "
                "processed: goald:dead says why"
            )
            self.check()

    def open(self, not_ready_reason: str) -> None:
        """Another has opened: this one does, too."""
        self._gauge.set(1)
        self._not_ready_reason = self._not_ready_reason or not_ready_reason

    def passed(self) -> None:
        """An event was processed."""
        self._tenants.clear()
