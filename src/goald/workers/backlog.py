"""The jobs that a worker has received, and which of them may start.

The places of a worker are shared fairly. A connection of a tenant takes at most as many as are left
free, and a tenant at most twice as many. So a receiver that answers slowly fills at most half of
the places, one tenant fills at most two thirds, and others find a free place. A job that waits has
no place.
"""

import heapq
import math
from collections import deque
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, TypeVar

T = TypeVar("T")
_MAX_NEXT_STARTS: Final = 10_000
"""Above this number, those in the past are removed."""


class Receiver(NamedTuple):
    """The jobs that share a receiver: those of one connection of a tenant, or of one host."""

    tenant: str
    destination: str


@dataclass(frozen=True, slots=True)
class ReceiverLimits:
    """The limits of each receiver in one worker. None: no limit."""

    concurrency: int | None = None
    """Jobs that are performed at the same time."""
    rate: float | None = None
    """Jobs that start in a second."""


class Backlog(Generic[T]):
    """Jobs that wait for a place or for a time. Has no I/O; times are on the caller's clock."""

    def __init__(self, places: int, limits: ReceiverLimits | None = None) -> None:
        """`places`: the most jobs that run at the same time."""
        self._places = places
        self._limits = limits or ReceiverLimits()
        self._ready: dict[str, dict[Receiver, deque[T]]] = {}
        """By tenant and receiver. The first tenant, and its first receiver, is the next in turn."""
        self._later: list[tuple[float, int, Receiver, T]] = []
        """A heap by time, then in the order of arrival."""
        self._arrivals = 0
        self._waiting = 0
        self._running: dict[Receiver | str, int] = {}
        """By receiver, and by tenant."""
        self._all_running = 0
        self._next_starts: dict[Receiver, float] = {}
        """When each receiver accepts the next job, by its rate."""

    def __len__(self) -> int:
        """The number of jobs that wait."""
        return self._waiting

    @property
    def running(self) -> int:
        return self._all_running

    @property
    def receivers_waiting(self) -> int:
        """The number of receivers with jobs that wait."""
        ready = {receiver for each in self._ready.values() for receiver in each}
        return len(ready.union(receiver for _, _, receiver, _ in self._later))

    def add(self, receiver: Receiver, job: T, not_before: float = -math.inf) -> None:
        """A job that may start at a time."""
        self._waiting += 1
        self._delay(receiver, job, not_before)

    def take(self, now: float) -> tuple[Receiver, T] | None:
        """The next job that may start. It runs until `end`. None if there is none now."""
        self._admit(now)
        free = self._places - self._all_running
        if free <= 0:
            return None
        for tenant in list(self._ready):
            if self._running.get(tenant, 0) >= 2 * free:
                continue
            receivers = self._ready.pop(tenant)
            found = self._take_of(receivers, free, now)
            if receivers:
                self._ready[tenant] = receivers  # the last in turn
            if found is not None:
                self._waiting -= 1
                self._count_running(found[0], 1)
                return found
        return None

    def end(self, receiver: Receiver) -> None:
        """A job of the receiver no longer runs."""
        self._count_running(receiver, -1)

    def next_time(self) -> float | None:
        """When the first job may start that waits for a time; None if none does."""
        return self._later[0][0] if self._later else None

    def _delay(self, receiver: Receiver, job: T, not_before: float) -> None:
        self._arrivals += 1
        heapq.heappush(self._later, (not_before, self._arrivals, receiver, job))

    def _admit(self, now: float) -> None:
        """Let the jobs wait for a place whose time has come."""
        while self._later and self._later[0][0] <= now:
            _, _, receiver, job = heapq.heappop(self._later)
            self._ready.setdefault(receiver.tenant, {}).setdefault(receiver, deque()).append(job)

    def _take_of(
        self, receivers: dict[Receiver, deque[T]], free: int, now: float
    ) -> tuple[Receiver, T] | None:
        """The next job of a tenant; removes it."""
        for receiver in list(receivers):
            until = self._next_starts.pop(receiver, now)
            if until > now:
                self._next_starts[receiver] = until
                for job in receivers.pop(receiver):
                    self._delay(receiver, job, until)
                continue
            most = free if self._limits.concurrency is None else min(free, self._limits.concurrency)
            if self._running.get(receiver, 0) >= most:
                continue
            if self._limits.rate is not None:
                self._note_start(receiver, now, 1 / self._limits.rate)
            jobs = receivers.pop(receiver)
            job = jobs.popleft()
            if jobs:
                receivers[receiver] = jobs  # the last in turn
            return receiver, job
        return None

    def _note_start(self, receiver: Receiver, now: float, pause: float) -> None:
        self._next_starts[receiver] = now + pause
        if len(self._next_starts) > _MAX_NEXT_STARTS:
            later = ((each, at) for each, at in self._next_starts.items() if at > now)
            self._next_starts = dict(later)

    def _count_running(self, receiver: Receiver, change: int) -> None:
        self._all_running += change
        for key in (receiver, receiver.tenant):
            count = self._running.get(key, 0) + change
            if count:
                self._running[key] = count
            else:
                self._running.pop(key, None)
