"""Wakes tasks that wait for a change."""

import asyncio


class Signal:
    """Wakes any number of tasks when something has changed. A task that asks for `next`, checks,
    and then waits, misses no change."""

    def __init__(self) -> None:
        self._event: asyncio.Event | None = None
        """None if no task has asked since the last change."""

    def next(self) -> asyncio.Event:
        """An event that the next `notify` sets."""
        if self._event is None:
            self._event = asyncio.Event()
        return self._event

    def notify(self) -> None:
        event, self._event = self._event, None
        if event is not None:
            event.set()
