"""TenantThrottle: which tenants send more work than the shards can do (D8).

Every coroutine raises `ServiceUnavailable` if the server is unreachable (D6).
"""

from collections.abc import Collection
from typing import Final, Protocol

from goald.domain.ids import TenantId

THROTTLE_SECONDS: Final = 1.0
"""How long a tenant is throttled after the last call that named it."""


class TenantThrottle(Protocol):
    """The tenants whose new events the API refuses, because many of their earlier ones wait."""

    async def throttle(self, tenants: Collection[TenantId]) -> None:
        """Throttle these tenants for THROTTLE_SECONDS from now. Any process may throttle any
        tenant; the latest end applies."""

    async def throttled(self) -> frozenset[TenantId]:
        """Return the tenants that are throttled now."""

    async def close(self) -> None:
        """Close the connection."""
