"""Holding a lease: renewed in time, or given up (D3)."""

import asyncio
from collections.abc import Awaitable, Callable

from goald.domain.errors import LeaseLost, ServiceUnavailable
from goald.domain.leases import LEASE_SECONDS
from goald.ports.clock import Clock

RENEW_SECONDS = LEASE_SECONDS / 4


async def hold(renew: Callable[[], Awaitable[None]], clock: Clock) -> None:
    """Renew until cancelled. Raises LeaseLost if another has the lease, or if no renewal
    succeeded within its time: who cannot tell whether it still holds it stops."""
    renewed = clock.monotonic()
    while True:
        await clock.sleep(RENEW_SECONDS)
        try:
            async with asyncio.timeout(RENEW_SECONDS):
                await renew()
            renewed = clock.monotonic()
        except (ServiceUnavailable, TimeoutError):
            if clock.monotonic() - renewed > LEASE_SECONDS - RENEW_SECONDS:
                raise LeaseLost(f"not renewed for {LEASE_SECONDS:.0f} s") from None
