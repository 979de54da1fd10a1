"""TenantThrottle in memory."""

from collections.abc import Collection

from goald.domain.ids import TenantId
from goald.ports.clock import Clock
from goald.ports.control.throttle import THROTTLE_SECONDS


class MemoryTenantThrottle:
    """A `TenantThrottle` of one process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ends: dict[TenantId, float] = {}

    async def throttle(self, tenants: Collection[TenantId]) -> None:
        end = self._clock.monotonic() + THROTTLE_SECONDS
        self._ends.update(dict.fromkeys(tenants, end))

    async def throttled(self) -> frozenset[TenantId]:
        now = self._clock.monotonic()
        return frozenset(tenant for tenant, end in self._ends.items() if end > now)

    async def close(self) -> None:
        """Nothing to close."""
