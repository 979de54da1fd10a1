"""An event loop on virtual time: when every task waits, its clock jumps to the next deadline.

Sleeps and deadlines work as usual, but no test waits for them, and every run is the same.
"""

import asyncio
import selectors
from collections.abc import Mapping
from typing import Any


class _Idle(selectors.DefaultSelector):
    """Advances the clock to the next timer instead of sleeping until it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise AssertionError("deadlock: every task waits, and no timer is pending")
        self.now += max(timeout, 1e-6)
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose time starts at 0. `unhandled` has the errors that no task handled."""

    def __init__(self) -> None:
        self._idle = _Idle()
        self.unhandled: list[Mapping[str, Any]] = []
        super().__init__(self._idle)
        self.set_exception_handler(lambda _, context: self.unhandled.append(context))

    def time(self) -> float:
        return self._idle.now


class LoopClock:
    """A `ports.Clock` that follows the time of an event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, start_us: int) -> None:
        self._loop = loop
        self._start_us = start_us

    def now_us(self) -> int:
        return self._start_us + round(self._loop.time() * 1e6)

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
