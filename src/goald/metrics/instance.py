"""The metrics of a whole instance, and the snapshots that its processes send."""

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric


def instance_metrics(
    *, ready: bool, lag: Mapping[str, int], dead: int, dead_dropped: int
) -> Iterator[Metric]:
    """The metrics of a whole instance, at the time of a scrape. `lag`: unacknowledged entries, by
    stream."""
    yield GaugeMetricFamily(
        "goald_ready", "1 if every process is ready, else 0.", value=float(ready)
    )
    lag_family = GaugeMetricFamily(
        "goald_lag_entries", "Unacknowledged entries of an event stream.", labels=["stream"]
    )
    for stream, entries in sorted(lag.items()):
        lag_family.add_metric([stream], entries)
    yield lag_family
    yield GaugeMetricFamily("goald_dead_entries", "Dead letters in goald:dead.", value=dead)
    yield CounterMetricFamily(
        "goald_dead_dropped",
        "Dead letters removed because goald:dead was full (GOALD_DEAD_BYTES).",
        value=dead_dropped,
    )


def snapshot_age() -> GaugeMetricFamily:
    """The age of the metrics of each process; the caller adds one sample for each."""
    return GaugeMetricFamily(
        "goald_process_snapshot_age_seconds",
        "Time since a process sent the metrics that are served for it.",
        labels=["role", "index"],
    )


def snapshot(registry: CollectorRegistry) -> list[dict[str, Any]]:
    """A registry as values that JSON can represent: for each metric its `name`, `type`, `help`,
    and `samples` as (name, labels, value)."""
    return [
        {
            "name": family.name,
            "type": family.type,
            "help": family.documentation,
            "samples": [
                (sample.name, sample.labels, sample.value)
                for sample in family.samples
                if not sample.name.endswith("_created")
            ],
        }
        for family in registry.collect()
    ]
