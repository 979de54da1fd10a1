"""The jobs that a worker has received, and which of them may start.

The places of a worker are shared fairly. A connection of a tenant takes at most as many as are left
free, and a tenant at most twice as many. So a receiver that answers slowly fills at most half of
the places, one tenant fills at most two thirds, and others find a free place. A job that waits has
no place.
"""

import heapq
import math
from collections import deque
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Lane(NamedTuple):
    """The jobs that share a receiver: those of one connection of a tenant, or of one host."""

    tenant: str
    destination: str


class Backlog(Generic[T]):
    """Jobs that wait for a place or for a time. Has no I/O; times are on the caller's clock."""

    def __init__(self, places: int) -> None:
        """`places`: the most jobs that run at the same time."""
        self._places = places
        self._ready: dict[str, dict[Lane, deque[T]]] = {}
        """By tenant and lane. The first tenant, and its first lane, is the next in turn."""
        self._later: list[tuple[float, int, Lane, T]] = []
        """A heap by time, then in the order of arrival."""
        self._arrivals = 0
        self._waiting = 0
        self._running: dict[Lane | str, int] = {}
        """By lane, and by tenant."""
        self._all_running = 0
        self._held_until: dict[Lane, float] = {}

    def __len__(self) -> int:
        """The number of jobs that wait."""
        return self._waiting

    @property
    def running(self) -> int:
        return self._all_running

    def add(self, lane: Lane, job: T, not_before: float = -math.inf) -> None:
        """A job that may start at a time."""
        self._waiting += 1
        self._delay(lane, job, not_before)

    def hold(self, lane: Lane, until: float) -> None:
        """Start no job of a lane before a time."""
        self._held_until[lane] = max(until, self._held_until.get(lane, until))

    def take(self, now: float) -> tuple[Lane, T] | None:
        """The next job that may start. It runs until `end`. None if there is none now."""
        self._admit(now)
        free = self._places - self._all_running
        if free <= 0:
            return None
        for tenant in list(self._ready):
            if self._running.get(tenant, 0) >= 2 * free:
                continue
            lanes = self._ready.pop(tenant)
            found = self._take_of(lanes, free, now)
            if lanes:
                self._ready[tenant] = lanes  # the last in turn
            if found is not None:
                self._waiting -= 1
                self._count_running(found[0], 1)
                return found
        return None

    def end(self, lane: Lane) -> None:
        """A job of the lane no longer runs."""
        self._count_running(lane, -1)

    def next_time(self) -> float | None:
        """When the first job may start that waits for a time; None if none does."""
        return self._later[0][0] if self._later else None

    def _delay(self, lane: Lane, job: T, not_before: float) -> None:
        self._arrivals += 1
        heapq.heappush(self._later, (not_before, self._arrivals, lane, job))

    def _admit(self, now: float) -> None:
        """Let the jobs wait for a place whose time has come."""
        while self._later and self._later[0][0] <= now:
            _, _, lane, job = heapq.heappop(self._later)
            self._ready.setdefault(lane.tenant, {}).setdefault(lane, deque()).append(job)

    def _take_of(self, lanes: dict[Lane, deque[T]], free: int, now: float) -> tuple[Lane, T] | None:
        """The next job of a tenant; removes it."""
        for lane in list(lanes):
            until = self._held_until.get(lane, now)
            if until > now:
                for job in lanes.pop(lane):
                    self._delay(lane, job, until)
                continue
            self._held_until.pop(lane, None)
            if self._running.get(lane, 0) >= free:
                continue
            jobs = lanes.pop(lane)
            job = jobs.popleft()
            if jobs:
                lanes[lane] = jobs  # the last in turn
            return lane, job
        return None

    def _count_running(self, lane: Lane, change: int) -> None:
        self._all_running += change
        for key in (lane, lane.tenant):
            count = self._running.get(key, 0) + change
            if count:
                self._running[key] = count
            else:
                self._running.pop(key, None)
