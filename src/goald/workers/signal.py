"""Wakes tasks that wait for a change."""

import asyncio


class Signal:
    """Wakes any number of tasks when something has changed. A task that asks for `next`, checks,
    and then waits, misses no change."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def next(self) -> asyncio.Event:
        """An event that the next `notify` sets."""
        return self._event

    def notify(self) -> None:
        self._event.set()
        self._event = asyncio.Event()
