"""Turns for the work of clients in one event loop, so that the work of one client does not delay
the others (D8)."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

PER_TURN: Final = 8
"""Units in one turn of the event loop. A unit is a read of up to 16 KiB or the start of a
request."""


class FairQueue:
    """Runs units of work of clients: at most PER_TURN in a turn of the event loop, one client after
    another, the units of one client in order. Bound to one event loop; not limited, because a
    connection has at most one unit of each kind in it."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """`loop`: the loop that is running by default, looked up at the first unit."""
        self._loop = loop
        self.waiting: OrderedDict[str, deque[Callable[[], None]]] = OrderedDict()
        """The units of each client, in order."""
        self._remaining = PER_TURN
        self._is_scheduled = False

    def run(self, client: str, unit: Callable[[], None]) -> bool:
        """Run a unit of this client immediately if no other unit waits and this turn has room, else
        later. Returns whether it was run. `unit` must not raise."""
        self._schedule()
        if self._remaining > 0 and not self.waiting:
            self._remaining -= 1
            unit()
            return True
        self.waiting.setdefault(client, deque()).append(unit)
        return False

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop = self._loop or asyncio.get_running_loop()
            self._loop.call_soon(self._begin_turn)

    def _begin_turn(self) -> None:
        self._is_scheduled = False
        self._remaining = PER_TURN
        while self.waiting and self._remaining > 0:
            self._remaining -= 1
            client, units = self.waiting.popitem(last=False)
            unit = units.popleft()
            if units:
                self.waiting[client] = units  # behind the other clients
            unit()
        if self.waiting:
            self._schedule()
