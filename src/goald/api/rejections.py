"""How much unauthenticated work one address may cause (D8)."""

from collections import Counter
from typing import Final

from goald.api.problems import TooManyRequests
from goald.ports.clock import Clock

DELAY_S: Final = 1.0
MAX_DELAYED: Final = 1_024
"""Responses that are delayed at a time; further ones are sent immediately."""


class RejectionLimiter:
    """Counts the rejected callers of each address in each second. Bound to one event loop."""

    def __init__(self, clock: Clock, per_second: int) -> None:
        """`per_second`: rejections of one address until its further ones are delayed; 0 for no
        limit."""
        self._clock = clock
        self._per_second = per_second
        self._second = 0
        self._rejections: Counter[str] = Counter()
        self._delayed = 0

    def check(self, address: str) -> None:
        """Raise TooManyRequests if the address had too many rejections in this second. Call it
        before work for a caller whose identity is unknown."""
        if self._is_exceeded(address):
            raise TooManyRequests("Too many requests from this address were refused")

    async def add(self, address: str) -> None:
        """Count a rejection. Returns after DELAY_S if the address has too many, so that each of its
        connections causes little work."""
        self._begin_second()
        self._rejections[address] += 1
        if self._is_exceeded(address) and self._delayed < MAX_DELAYED:
            self._delayed += 1
            try:
                await self._clock.sleep(DELAY_S)
            finally:
                self._delayed -= 1

    def _is_exceeded(self, address: str) -> bool:
        self._begin_second()
        return 0 < self._per_second < self._rejections[address]

    def _begin_second(self) -> None:
        second = int(self._clock.monotonic())
        if second != self._second:
            self._second = second
            self._rejections.clear()
