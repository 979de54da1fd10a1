"""What an instance does per second, from the metrics that its processes send.

Counters are compared process by process. One that was started anew began again at zero,
and counts from there: a rate is never negative.
"""

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from goald.runtime.heartbeat.heartbeats import Heartbeat, not_ready

EVENTS = "goald_events_acknowledged_total"
EXITS = "goald_exits_total"
EXIT_LATENCY = "goald_exit_latency_seconds_bucket"

Series: TypeAlias = tuple[str, str]
"""One sample of one process: its heartbeat's field and start, and the sample's key."""


@dataclass(frozen=True, slots=True)
class Readings:
    """Everything that is known of an instance at one moment."""

    at: datetime
    heartbeats: Sequence[Heartbeat] = ()
    lag: Mapping[str, int] = field(default_factory=dict)
    """Entries not yet acknowledged, by stream."""
    dead: int = 0
    """Entries in `goald:dead`."""
    dead_dropped: int = 0
    """Those that went from there because it was full."""

    @property
    def ready(self) -> bool:
        return not not_ready(self.heartbeats, self.at)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The live line of `goald serve`."""

    events_per_s: float
    """Acknowledged: all that they cause has taken effect (D2)."""
    exits_per_s: float
    exits: int
    """Since the processes that now run were started."""
    p95_s: float | None
    """From an event's stream entry to its exit; None where there was no exit."""
    lag: int
    dead: int
    ready: bool


class RateWindow:
    """Turns readings, as they come, into rates over the last few seconds."""

    def __init__(self, seconds: float = 5.0) -> None:
        self._seconds = seconds
        self._kept: deque[Readings] = deque()

    def add(self, readings: Readings) -> Snapshot:
        """The snapshot at these readings, compared with the oldest within the window."""
        self._kept.append(readings)
        while (
            len(self._kept) > 2
            and (readings.at - self._kept[1].at).total_seconds() >= self._seconds
        ):
            self._kept.popleft()
        return between(self._kept[0], readings)


def between(before: Readings, after: Readings) -> Snapshot:
    """The snapshot at `after`, with rates since `before`. Rates are 0 where no time passed."""
    seconds = (after.at - before.at).total_seconds()
    buckets: dict[float, float] = {}
    for labels, grown in _growth(before, after, EXIT_LATENCY):
        bound = float(labels["le"])
        buckets[bound] = buckets.get(bound, 0.0) + grown

    def rate(name: str) -> float:
        grown = sum(value for _, value in _growth(before, after, name))
        return grown / seconds if seconds > 0 else 0.0

    return Snapshot(
        events_per_s=rate(EVENTS),
        exits_per_s=rate(EXITS),
        exits=int(sum(value for _, _, value in _samples(after, EXITS))),
        p95_s=quantile(0.95, buckets),
        lag=sum(after.lag.values()),
        dead=after.dead,
        ready=after.ready,
    )


def quantile(q: float, buckets: Mapping[float, float]) -> float | None:
    """The q-quantile of a histogram: `buckets` maps each upper bound to how many
    observations were at or below it. Linear within a bucket; the greatest finite bound
    where it lies beyond; None where there were no observations.
    """
    bounds = sorted(buckets)
    total = buckets[bounds[-1]] if bounds else 0
    if total <= 0:
        return None
    rank = q * total
    low, below = 0.0, 0.0
    for bound in bounds:
        if buckets[bound] >= rank:
            if math.isinf(bound):
                return low
            return low + (bound - low) * (rank - below) / max(buckets[bound] - below, 1e-9)
        low, below = bound, buckets[bound]
    return low


def _growth(
    before: Readings, after: Readings, name: str
) -> Iterator[tuple[Mapping[str, str], float]]:
    """Labels and growth of each sample of this name, never below 0."""
    was = {series: value for series, _, value in _samples(before, name)}
    for series, labels, value in _samples(after, name):
        yield labels, max(0.0, value - was.get(series, 0.0))


def _samples(readings: Readings, name: str) -> Iterator[tuple[Series, Mapping[str, str], float]]:
    for heartbeat in readings.heartbeats:
        process = f"{heartbeat.field}:{heartbeat.pid}:{heartbeat.started_at.isoformat()}"
        for family in heartbeat.metrics:
            if name.startswith(family["name"]):
                yield from _of_family(process, family, name)


def _of_family(
    process: str, family: Mapping[str, Any], name: str
) -> Iterator[tuple[Series, Mapping[str, str], float]]:
    for sample, labels, value in family["samples"]:
        if sample == name:
            yield (process, repr(sorted(labels.items()))), labels, value
