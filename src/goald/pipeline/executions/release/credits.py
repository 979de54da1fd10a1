"""Credits: how many jobs of a type of action may be out at the same time (X16).

Workers that are fast or many finish many jobs, and get many: those of two seconds. Workers that are
slow, or none, get few, so due steps wait in the shard's memory, where an exit cancels them for
nothing.
"""

from collections import Counter, deque
from typing import Final

from goald.domain.actions.gates import ActionType
from goald.ports.clock import Clock

SPAN_SECONDS: Final = 2.0
FLOOR: Final = 64
"""Jobs that may be out before any throughput was measured, and without workers."""


class Credits:
    """The jobs of one shard that are out, and the throughput of their types."""

    def __init__(self, clock: Clock, floor: int = FLOOR) -> None:
        self._clock = clock
        self._floor = floor
        self._out: Counter[ActionType] = Counter()
        self._finished: dict[ActionType, deque[tuple[float, int]]] = {}

    def free(self, action: ActionType) -> int:
        """How many further jobs of the type may be published now."""
        return max(0, self.limit(action) - self._out[action])

    def limit(self, action: ActionType) -> int:
        """How many jobs of the type may be out: those of the last SPAN_SECONDS, at least the
        floor."""
        finished = self._finished.get(action)
        if finished is None:
            return self._floor
        since = self._clock.monotonic() - SPAN_SECONDS
        while finished and finished[0][0] <= since:
            finished.popleft()
        return max(self._floor, sum(count for _, count in finished))

    def add(self, action: ActionType, count: int = 1) -> None:
        """Jobs of the type are out: they were published, or were found at a load."""
        self._out[action] += count

    def finish(self, action: ActionType, count: int = 1) -> None:
        """Jobs of the type that were out have a result."""
        self.remove(action, count)
        finished = self._finished.setdefault(action, deque())
        now = self._clock.monotonic()
        if finished and finished[-1][0] == now:
            finished[-1] = (now, finished[-1][1] + count)
        else:
            finished.append((now, count))

    def remove(self, action: ActionType, count: int = 1) -> None:
        """Jobs of the type are not out any more, and no worker has performed them."""
        self._out[action] = max(0, self._out[action] - count)

    def out(self, action: ActionType) -> int:
        """How many jobs of the type are out."""
        return self._out[action]

    def clear(self) -> None:
        """No job is out. Keeps the measured throughput."""
        self._out.clear()
