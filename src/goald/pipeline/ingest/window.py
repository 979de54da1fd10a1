"""How much may be under way: a bound in bytes on what is read and not yet acknowledged."""

import asyncio

from prometheus_client import Gauge

BATCH_BYTES = 4_096
"""What a batch weighs beside its entries: so their number is bounded, too."""


class InFlightWindow:
    """Lets work in while less than `limit` bytes are within; one batch always fits."""

    def __init__(self, limit: int, gauge: Gauge) -> None:
        self._limit = limit
        self._gauge = gauge
        self._within = 0
        self._left = asyncio.Condition()

    async def enter(self, size: int) -> None:
        """Wait until there is room, then take it."""
        async with self._left:
            await self._left.wait_for(lambda: self._within < self._limit)
            self._within += size + BATCH_BYTES
            self._gauge.inc(size + BATCH_BYTES)

    async def leave(self, size: int) -> None:
        """Give room back."""
        async with self._left:
            self._within -= size + BATCH_BYTES
            self._gauge.dec(size + BATCH_BYTES)
            self._left.notify_all()
