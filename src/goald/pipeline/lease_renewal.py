"""Renews a lease while its holder works, and ends the holder if it cannot (D3)."""

import asyncio
from collections.abc import Awaitable, Callable

from goald.domain.errors import LeaseLost, ServiceUnavailable
from goald.domain.leases import LEASE_SECONDS
from goald.ports.clock import Clock

RENEW_SECONDS = LEASE_SECONDS / 4


class LeaseRenewer:
    """Renews one lease every RENEW_SECONDS."""

    def __init__(self, renew: Callable[[], Awaitable[None]], clock: Clock) -> None:
        self._renew = renew
        self._clock = clock

    async def run(self) -> None:
        """Renew until cancelled. Raises LeaseLost if another process has the lease, or if no
        renewal succeeded in time: a holder that cannot verify its lease must stop."""
        renewed = self._clock.monotonic()
        while True:
            await self._clock.sleep(RENEW_SECONDS)
            try:
                async with asyncio.timeout(RENEW_SECONDS):
                    await self._renew()
                renewed = self._clock.monotonic()
            except (ServiceUnavailable, TimeoutError):
                if self._clock.monotonic() - renewed > LEASE_SECONDS - RENEW_SECONDS:
                    raise LeaseLost(f"not renewed for {LEASE_SECONDS:.0f} s") from None
