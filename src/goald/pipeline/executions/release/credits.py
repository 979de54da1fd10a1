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
_STEP_SECONDS: Final = 0.05
"""Jobs that finish within this time are one entry."""
FLOOR: Final = 64
"""Jobs that may be out before any throughput was measured, and without workers."""


class _Finished:
    """The jobs of one type that have finished lately."""

    def __init__(self) -> None:
        self._entries: deque[tuple[float, int]] = deque()
        """When the first of them finished, and how many."""
        self._count = 0

    def add(self, now: float, count: int) -> None:
        self._count += count
        if self._entries and now - self._entries[-1][0] < _STEP_SECONDS:
            at, before = self._entries[-1]
            self._entries[-1] = at, before + count
        else:
            self._entries.append((now, count))

    def since(self, time: float) -> int:
        """How many have finished after this time. Forgets the others."""
        while self._entries and self._entries[0][0] <= time:
            self._count -= self._entries.popleft()[1]
        return self._count


class Credits:
    """The jobs of one shard that are out, and the throughput of their types."""

    def __init__(self, clock: Clock, floor: int = FLOOR) -> None:
        self._clock = clock
        self._floor = floor
        self._out: Counter[ActionType] = Counter()
        self._finished: dict[ActionType, _Finished] = {}

    def free(self, action: ActionType) -> int:
        """How many further jobs of the type may be published now."""
        return max(0, self.limit(action) - self._out[action])

    def limit(self, action: ActionType) -> int:
        """How many jobs of the type may be out: those of the last SPAN_SECONDS, at least the
        floor."""
        finished = self._finished.get(action)
        if finished is None:
            return self._floor
        return max(self._floor, finished.since(self._clock.monotonic() - SPAN_SECONDS))

    def add(self, action: ActionType, count: int = 1) -> None:
        """Jobs of the type are out: they were published, or were found at a load."""
        self._out[action] += count

    def finish(self, action: ActionType, count: int = 1) -> None:
        """Jobs of the type that were out have a result."""
        self.remove(action, count)
        self._finished.setdefault(action, _Finished()).add(self._clock.monotonic(), count)

    def remove(self, action: ActionType, count: int = 1) -> None:
        """Jobs of the type are not out any more, and no worker has performed them."""
        self._out[action] = max(0, self._out[action] - count)

    def out(self, action: ActionType) -> int:
        """How many jobs of the type are out."""
        return self._out[action]

    def clear(self) -> None:
        """No job is out. Keeps the measured throughput."""
        self._out.clear()
