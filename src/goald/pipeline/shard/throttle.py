"""Reports to the API which tenants have too many deferred events in a shard (D8).

Deferred events fill the in-flight window of their stream, and a stream whose window is full is not
read: then the events of other tenants wait as well.
"""

from goald.domain.errors import ServiceUnavailable
from goald.domain.ids import TenantId
from goald.pipeline.context import ShardContext
from goald.pipeline.shard.turns import Turns
from goald.ports.control.throttle import TenantThrottle

REPORT_SECONDS = 0.1


class ThrottleReporter:
    """Throttles the tenants of one shard whose deferred events exceed a limit."""

    def __init__(
        self, context: ShardContext, throttle: TenantThrottle, turns: Turns, *, max_bytes: int
    ) -> None:
        """`max_bytes`: the limit on the deferred events of one tenant."""
        self._context = context
        self._throttle = throttle
        self._turns = turns
        self._max_bytes = max_bytes

    async def run(self) -> None:
        """Report every REPORT_SECONDS until cancelled. While Redis is unavailable, no tenant is
        throttled."""
        while True:
            await self._context.clock.sleep(REPORT_SECONDS)
            try:
                await self._throttle.throttle(self._exceeding())
            except ServiceUnavailable:
                self._context.metrics.retries.labels("throttle").inc()

    def _exceeding(self) -> list[TenantId]:
        sizes = self._turns.deferred_bytes()
        return [TenantId(tenant) for tenant, size in sizes.items() if size > self._max_bytes]
