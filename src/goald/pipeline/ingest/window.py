"""Bounds the bytes that a consumer has read and not yet acknowledged."""

import asyncio

from prometheus_client import Gauge

BATCH_BYTES = 4_096
"""The overhead of a batch, added to the size of its entries. Also bounds the number of batches."""


class InFlightWindow:
    """Admits batches while fewer than `limit` bytes are in flight. One batch always fits."""

    def __init__(self, limit: int, gauge: Gauge) -> None:
        self._limit = limit
        self._gauge = gauge
        self._bytes = 0
        self._freed = asyncio.Condition()

    async def enter(self, size: int) -> None:
        """Wait for room, then occupy the room of a batch of this size."""
        async with self._freed:
            await self._freed.wait_for(lambda: self._bytes < self._limit)
            self._bytes += size + BATCH_BYTES
            self._gauge.inc(size + BATCH_BYTES)

    async def leave(self, size: int) -> None:
        """Free the room of a batch of this size."""
        async with self._freed:
            self._bytes -= size + BATCH_BYTES
            self._gauge.dec(size + BATCH_BYTES)
            self._freed.notify_all()
