"""How much unauthenticated work one address may cause (D8)."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from goald.ports.clock import Clock

DELAY_S: Final = 1.0
"""The delay of a response while no other one is delayed."""
DELAYED_PER_SECOND: Final = 500
"""The delay increases with the number of delayed responses, so that about this many end in a
second, however many connections there are."""
TOTAL_PER_SECOND: Final = 100
"""Rejections of all addresses together until further ones are delayed, whatever their address."""


class RejectionLimiter:
    """Counts the rejected callers of each address in each second, and delays the responses to
    further ones. Bound to one event loop.

    The response is delayed, not the work before it, and nothing depends on what the caller claims
    to be. So a correct request never waits because of others of its address, and a response shows
    no more than the rejection. Each open connection has at most one delayed response.
    """

    def __init__(self, clock: Clock, per_second: int) -> None:
        """`per_second`: rejections of one address until its further ones are delayed; 0 for no
        limit, also in all."""
        self._clock = clock
        self._per_second = per_second
        self._second = 0
        self._total = 0
        self._rejections: Counter[str] = Counter()
        self._delayed = 0

    async def add(self, address: str, disconnected: Callable[[], Awaitable[None]]) -> None:
        """Count a rejection. If there are too many, return after DELAY_S, later while many
        responses are delayed, or when `disconnected` returns."""
        self._begin_second()
        self._rejections[address] += 1
        self._total += 1
        if self._per_second and (
            self._rejections[address] > self._per_second or self._total > TOTAL_PER_SECOND
        ):
            await self._delay(disconnected)

    async def _delay(self, disconnected: Callable[[], Awaitable[None]]) -> None:
        self._delayed += 1
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(
                    DELAY_S * (1 + (self._delayed - 1) / DELAYED_PER_SECOND)
                ):
                    await disconnected()
        finally:
            self._delayed -= 1

    def _begin_second(self) -> None:
        second = int(self._clock.monotonic())
        if second != self._second:
            self._second, self._total = second, 0
            self._rejections.clear()
