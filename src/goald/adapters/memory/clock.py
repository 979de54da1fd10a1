"""A clock that tests advance."""

import asyncio
import heapq
import itertools


class ManualClock:
    """`ports.Clock` for tests. The time changes only in `advance`."""

    def __init__(self, now_us: int = 1_767_225_600_000_000) -> None:
        """`now_us`: the start time, by default 2026-01-01T00:00:00Z."""
        self._start_us = now_us
        self._elapsed_us = 0
        self._order = itertools.count()
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []

    def now_us(self) -> int:
        return self._start_us + self._elapsed_us

    def monotonic(self) -> float:
        return self._elapsed_us / 1_000_000

    @property
    def sleepers(self) -> int:
        """How many calls of `sleep` are waiting."""
        return sum(not future.done() for _, _, future in self._sleepers)

    async def sleep(self, seconds: float) -> None:
        """Returns when `advance` has passed this time, or after one iteration of the event loop if
        `seconds` is not positive."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        due = self._elapsed_us + round(seconds * 1_000_000)
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (due, next(self._order), future))
        await future

    async def advance(self, seconds: float) -> None:
        """Advance the time. Wakes sleepers in the order of their times, each at its own time. A
        sleeper that sleeps again within the span is woken again."""
        end = self._elapsed_us + round(seconds * 1_000_000)
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, future = heapq.heappop(self._sleepers)
            self._elapsed_us = max(self._elapsed_us, due)
            if not future.done():
                future.set_result(None)
            for _ in range(3):  # The sleeper runs and may sleep again.
                await asyncio.sleep(0)
        self._elapsed_us = end
