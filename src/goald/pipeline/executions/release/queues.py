"""Shares free credits among the queues of due steps, so that no tenant delays another (X16, D8)."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from goald.domain.actions.gates import ActionType


class QueueKey(NamedTuple):
    """A queue of due steps: those of a tenant with the same type of action and connection."""

    tenant_id: str
    action: ActionType
    connection: str | None = None

    @property
    def order(self) -> tuple[str, bool, str]:
        """The place among the queues of the same type."""
        return self.tenant_id, self.connection is not None, self.connection or ""


class RoundRobin:
    """Takes turns among the queues of each type of action."""

    def __init__(self) -> None:
        self._last: dict[ActionType, tuple[str, bool, str]] = {}
        """The queue of each type that had the last turn."""

    def share(
        self, queues: Iterable[tuple[QueueKey, int]], free: Callable[[ActionType], int]
    ) -> dict[QueueKey, int]:
        """Return how many due steps of each queue are released now. `queues`: with their lengths.
        `free`: the credits of a type.

        Every queue has one step in each round. If there are fewer credits than queues, the next
        call begins behind the queue that had the last one.
        """
        by_action: dict[ActionType, dict[QueueKey, int]] = {}
        for key, length in queues:
            if length > 0:
                by_action.setdefault(key.action, {})[key] = length
        shares: dict[QueueKey, int] = {}
        for action, waiting in by_action.items():
            if (available := free(action)) > 0:
                order = self._in_order(action, waiting)
                shares |= self._divide(order, waiting, available)
        return shares

    def _in_order(self, action: ActionType, waiting: Iterable[QueueKey]) -> Sequence[QueueKey]:
        order = sorted(waiting, key=lambda key: key.order)
        last = self._last.get(action)
        if last is None:
            return order
        first = bisect_right(order, last, key=lambda key: key.order)
        return order[first:] + order[:first]

    def _divide(
        self, order: Sequence[QueueKey], waiting: Mapping[QueueKey, int], available: int
    ) -> dict[QueueKey, int]:
        shares = dict.fromkeys(order, 0)
        while available > 0 and (open_ := [key for key in order if shares[key] < waiting[key]]):
            each = available // len(open_)
            if each == 0:
                for key in open_[:available]:
                    shares[key] += 1
                self._last[order[0].action] = open_[available - 1].order
                break
            for key in open_:
                taken = min(each, waiting[key] - shares[key])
                shares[key] += taken
                available -= taken
        return {key: share for key, share in shares.items() if share > 0}
