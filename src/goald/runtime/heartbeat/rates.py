"""Rates per second of an instance, from the metrics that its processes send.

Counters are compared process by process. The counters of a restarted process start at zero, and
its growth counts from there, so a rate is never negative.
"""

import math
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from goald.ports.process_registry import Readings
from goald.runtime.heartbeat.readiness import is_ready

EVENTS = "goald_events_acknowledged_total"
EXITS = "goald_exits_total"
ACTIONS = "goald_actions_total"
EXIT_LATENCY = "goald_exit_latency_seconds_bucket"

Series: TypeAlias = tuple[str, str]
"""Identifies a sample of a process: the process (key, pid, start) and the sample's labels."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The values of the status line of `goald serve`."""

    events_per_s: float
    """Acknowledged events: all their effects are committed and published (D2)."""
    exits_per_s: float
    exits: int
    """Since the running processes were started."""
    p95_s: float | None
    """Seconds from an event's stream entry to its exit; None if there was no exit."""
    lag: int
    dead: int
    ready: bool
    actions: int = 0
    """Performed for workflows since the running workers were started."""


class RateWindow:
    """Converts a sequence of readings into rates over the last few seconds."""

    def __init__(self, seconds: float = 5.0) -> None:
        self._seconds = seconds
        self._window: deque[Readings] = deque()

    def add(self, readings: Readings) -> Snapshot:
        """The snapshot at these readings, compared with the oldest ones in the window."""
        self._window.append(readings)
        while (
            len(self._window) > 2
            and (readings.at - self._window[1].at).total_seconds() >= self._seconds
        ):
            self._window.popleft()
        return between(self._window[0], readings)


def between(before: Readings, after: Readings) -> Snapshot:
    """The snapshot at `after`, with rates since `before`. Rates are 0 if no time passed."""
    seconds = (after.at - before.at).total_seconds()
    buckets: dict[float, float] = {}
    for labels, growth in _growth(before, after, EXIT_LATENCY):
        bound = float(labels["le"])
        buckets[bound] = buckets.get(bound, 0.0) + growth

    def rate(name: str) -> float:
        growth = sum(value for _, value in _growth(before, after, name))
        return growth / seconds if seconds > 0 else 0.0

    return Snapshot(
        events_per_s=rate(EVENTS),
        exits_per_s=rate(EXITS),
        exits=int(sum(value for _, _, value in _samples(after, EXITS))),
        p95_s=quantile(0.95, buckets),
        lag=sum(after.lag.values()),
        dead=after.dead,
        ready=is_ready(after),
        actions=int(
            sum(
                value
                for _, labels, value in _samples(after, ACTIONS)
                if labels["outcome"] == "success"
            )
        ),
    )


def quantile(q: float, buckets: Mapping[float, float]) -> float | None:
    """The q-quantile of a histogram. `buckets` maps each upper bound to the number of
    observations at or below it. Linear within a bucket; the greatest finite bound if the
    quantile lies above it; None if there are no observations.
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
    """Labels and growth of each sample with this name. The growth is never negative."""
    previous = {series: value for series, _, value in _samples(before, name)}
    for series, labels, value in _samples(after, name):
        yield labels, max(0.0, value - previous.get(series, 0.0))


def _samples(readings: Readings, name: str) -> Iterator[tuple[Series, Mapping[str, str], float]]:
    for heartbeat in readings.heartbeats:
        process = f"{heartbeat.field}:{heartbeat.pid}:{heartbeat.started_at.isoformat()}"
        for family in heartbeat.metrics:
            if name.startswith(family["name"]):
                yield from _family_samples(process, family, name)


def _family_samples(
    process: str, family: Mapping[str, Any], name: str
) -> Iterator[tuple[Series, Mapping[str, str], float]]:
    for sample, labels, value in family["samples"]:
        if sample == name:
            yield (process, repr(sorted(labels.items()))), labels, value
