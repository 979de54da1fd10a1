"""Refuses the events of tenants whose earlier events cost more work than their share (D8)."""

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from goald.api.problems import TooManyRequests
from goald.domain.errors import ServiceUnavailable
from goald.domain.ids import TenantId
from goald.metrics.api import AdmissionMetrics
from goald.pipeline.intake import AcceptedEvent
from goald.ports.clock import Clock
from goald.ports.control.throttle import TenantThrottle

REFRESH_S: Final = 0.2
"""The age from which the throttled tenants are read again."""
PATIENCE_S: Final = 0.25
"""How long a request waits for the throttled tenants. Without them, no tenant is refused."""
_RETRY: Final = {"Retry-After": "1"}

_log = structlog.stdlib.get_logger(__name__)


class ThrottleAdmission:
    """Admits events of tenants that no shard throttles. Bound to one event loop."""

    def __init__(self, throttle: TenantThrottle, clock: Clock, metrics: AdmissionMetrics) -> None:
        """The caller closes `throttle`."""
        self._throttle = throttle
        self._clock = clock
        self._metrics = metrics
        self._throttled: frozenset[TenantId] = frozenset()
        self._read_at = -REFRESH_S
        self._has_failed = False
        self._turn = asyncio.Lock()

    async def admit(self, tenant: str, events: Sequence[AcceptedEvent]) -> None:
        """Return if the tenant is not throttled. Raises TooManyRequests if it is. Admits everything
        while Redis is unavailable."""
        await self._refresh()
        if events and tenant in self._throttled:
            self._metrics.throttled.inc()
            raise TooManyRequests(
                "Earlier events of this tenant are still being processed, because they end or "
                "start many enrollments or are expensive to evaluate. Retry later.",
                headers=_RETRY,
            )

    async def _refresh(self) -> None:
        if self._is_fresh():
            return
        async with self._turn:
            if self._is_fresh():
                return
            try:
                async with asyncio.timeout(PATIENCE_S):
                    self._throttled = await self._throttle.throttled()
                self._has_failed = False
            except (ServiceUnavailable, TimeoutError) as error:
                self._throttled = frozenset()
                if not self._has_failed:
                    reason = str(error) or f"no answer within {PATIENCE_S} s"
                    _log.warning("cannot read which tenants are throttled", error=reason)
                self._has_failed = True
            self._read_at = self._clock.monotonic()

    def _is_fresh(self) -> bool:
        return self._clock.monotonic() - self._read_at < REFRESH_S
