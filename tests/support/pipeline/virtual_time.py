"""An event loop whose time passes only when nothing else is left to do, and then at once.

What sleeps or waits for a deadline does so as ever, and an hour of it takes as long as what
happens in it. So a run is the same each time, and no test waits.
"""

import asyncio
import selectors
from collections.abc import Mapping
from typing import Any


class _Idle(selectors.DefaultSelector):
    """Where the loop would sleep until its next timer, its clock goes on to that instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise AssertionError("everything waits, and nothing will ever wake it")
        self.now += max(timeout, 1e-6)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on a time of its own, which begins at 0. Errors that nobody took are
    kept in `untaken`."""

    def __init__(self) -> None:
        self._idle = _Idle()
        self.untaken: list[Mapping[str, Any]] = []
        super().__init__(self._idle)
        self.set_exception_handler(lambda _, context: self.untaken.append(context))

    def time(self) -> float:
        return self._idle.now


class LoopClock:
    """`ports.Clock` by the time of an event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, start_us: int) -> None:
        self._loop = loop
        self._start_us = start_us

    def now_us(self) -> int:
        return self._start_us + round(self._loop.time() * 1e6)

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
