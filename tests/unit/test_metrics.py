"""Metrics of a process arrive at the exporter and in the status line."""

import json
import re
import socket
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from goald.adapters.redis.process_registry import decode, encode
from goald.domain.errors import StartError
from goald.metrics.instance import snapshot
from goald.metrics.pipeline import ConsumerMetrics, ShardMetrics
from goald.metrics.workers import WorkerMetrics
from goald.ports.process_registry import Heartbeat, Readings
from goald.runtime.heartbeat.exporter import Exporter, ReadingsCollector
from goald.runtime.heartbeat.rates import RateWindow, Snapshot, between, quantile

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Process:
    """A shard's or consumer's registry and the heartbeats it sends."""

    def __init__(self, role: str, index: int = 0, pid: int = 100) -> None:
        self.registry = CollectorRegistry()
        self.role, self.index, self.pid = role, index, pid
        self.shard = ShardMetrics(self.registry) if role == "shard" else None
        self.consumer = ConsumerMetrics(self.registry) if role == "consumer" else None
        self.worker = WorkerMetrics(self.registry) if role == "worker" else None

    def heartbeat(self, at: datetime = NOW) -> Heartbeat:
        sent = Heartbeat(
            self.role, self.index, self.pid, "host", NOW, at, True, snapshot(self.registry)
        )
        return decode(encode(sent))


def shard(index: int = 0, pid: int = 100) -> tuple[Process, ShardMetrics]:
    process = Process("shard", index, pid)
    assert process.shard is not None
    return process, process.shard


def readings(at: datetime, *processes: Process, **more: Any) -> Readings:
    return Readings(at, [process.heartbeat(at) for process in processes], **more)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_each_metric_is_declared_once_and_documented() -> None:
    files = (ROOT / "src/goald/metrics").glob("*.py")
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    declared = Counter(re.findall(r'"(goald_[a-z_]+)"', text))
    assert len(declared) >= 40
    assert {name for name, times in declared.items() if times > 1} == set()
    page = (ROOT / "docs/reference/metrics.md").read_text(encoding="utf-8")
    assert {name for name in declared if not re.search(rf"`{name}(_total)?`", page)} == set()


def test_a_snapshot_is_json_and_contains_every_sample() -> None:
    process, metrics = shard()
    metrics.evaluated.labels("form.submitted").inc(3)
    families = json.loads(json.dumps(snapshot(process.registry)))
    samples = {
        (name, tuple(labels.items())): value
        for family in families
        for name, labels, value in family["samples"]
    }
    assert samples["goald_events_evaluated_total", (("type", "form.submitted"),)] == 3


def test_a_rate_is_the_growth_per_second() -> None:
    consumer, (process, metrics) = Process("consumer"), shard()
    assert consumer.consumer is not None
    before = readings(NOW, consumer, process)
    consumer.consumer.acknowledged.labels("goald:events:0").inc(500)
    consumer.consumer.acknowledged.labels("goald:events:1").inc(100)
    metrics.exits.inc(30)
    after = readings(later(2), consumer, process, lag={"a": 3, "b": 4}, dead=9)
    found = between(before, after)
    assert (found.events_per_s, found.exits_per_s, found.exits) == (300, 15, 30)
    assert (found.lag, found.dead) == (7, 9)


def test_only_actions_that_were_performed_are_counted() -> None:
    worker = Process("worker")
    assert worker.worker is not None
    for action, outcome in (("webhook", "success"), ("send_email", "success"), ("webhook", "skip")):
        worker.worker.performed(action, outcome, 0.01)
    assert between(readings(NOW), readings(later(1), worker)).actions == 2


def test_a_restarted_process_counts_from_zero() -> None:
    old, metrics = shard(pid=1)
    metrics.exits.inc(1_000)
    new, fresh = shard(pid=2)
    fresh.exits.inc(4)
    assert between(readings(NOW, old), readings(later(2), new)).exits_per_s == 2


def test_p95_is_of_the_interval_and_not_of_all_time() -> None:
    process, metrics = shard()
    for _ in range(1_000):
        metrics.exit_latency.observe(5.0)
    before = readings(NOW, process)
    for _ in range(100):
        metrics.exit_latency.observe(0.0055)
    found = between(before, readings(later(1), process)).p95_s
    assert found is not None
    assert 0.005 < found <= 0.006


def test_p95_of_several_shards_is_over_all_their_exits() -> None:
    (quick, quick_metrics), (slow, slow_metrics) = shard(0), shard(1)
    before = readings(NOW, quick, slow)
    for _ in range(90):
        quick_metrics.exit_latency.observe(0.0005)
    for _ in range(10):
        slow_metrics.exit_latency.observe(0.9)
    found = between(before, readings(later(1), quick, slow)).p95_s
    assert found is not None
    assert 0.5 < found <= 1.0


def test_without_exits_there_is_no_p95() -> None:
    process, _ = shard()
    assert between(readings(NOW, process), readings(later(1), process)).p95_s is None


@pytest.mark.parametrize(
    ("buckets", "expected"),
    [
        ({}, None),
        ({1.0: 0, float("inf"): 0}, None),
        ({1.0: 100, 2.0: 100, float("inf"): 100}, 0.95),
        ({1.0: 90, 2.0: 100, float("inf"): 100}, 1.5),
        ({1.0: 10, 2.0: 10, float("inf"): 100}, 2.0),
    ],
)
def test_a_quantile_is_within_its_bucket(
    buckets: Mapping[float, float], expected: float | None
) -> None:
    assert quantile(0.95, buckets) == pytest.approx(expected)


def test_a_window_ignores_older_readings() -> None:
    process, metrics = shard()
    window = RateWindow(seconds=5)
    found: Snapshot | None = None
    for second in range(12):
        if second < 3:
            metrics.exits.inc(100)
        found = window.add(readings(later(second), process))
    assert found is not None
    assert found.exits_per_s == 0
    assert found.exits == 300


def test_readings_at_the_same_time_have_rate_zero() -> None:
    process, _ = shard()
    window = RateWindow()
    assert window.add(readings(NOW, process)).events_per_s == 0


def scrape(url: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - a local address
        text = answer.read().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def serving(
    latest: Callable[[], Readings], now: Callable[[], datetime] = lambda: NOW
) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(ReadingsCollector(latest, now))
    return registry


def test_a_scrape_serves_every_process_by_role_and_index() -> None:
    consumer, (first, metrics), (second, _) = Process("consumer"), shard(0), shard(1)
    metrics.exits.inc(5)
    supervisor = Heartbeat("supervisor", 0, 9, "host", NOW, later(2), True, (), 1, 2)
    latest = Readings(
        later(2),
        [supervisor, *(process.heartbeat(later(2)) for process in (consumer, first, second))],
        {"goald:events:0": 12},
        4,
        dead_dropped=7,
    )
    with Exporter("127.0.0.1", 0, serving(lambda: latest, lambda: later(3))) as exporter:
        found = scrape(exporter.url)
    assert found["goald_exits_total", (("index", "0"), ("role", "shard"))] == 5
    assert found["goald_exits_total", (("index", "1"), ("role", "shard"))] == 0
    assert found["goald_in_flight_bytes", (("index", "0"), ("role", "consumer"))] == 0
    age = ("goald_process_snapshot_age_seconds", (("index", "0"), ("role", "shard")))
    assert found[age] == pytest.approx(1.0)
    assert found["goald_lag_entries", (("stream", "goald:events:0"),)] == 12
    assert found["goald_dead_entries", ()] == 4
    assert found["goald_dead_dropped_total", ()] == 7
    assert found["goald_ready", ()] == 1


def test_stale_readings_are_not_ready() -> None:
    supervisor = Heartbeat("supervisor", 0, 9, "host", NOW, NOW, True, (), 0, 0)
    latest = Readings(NOW, [supervisor])
    for at, ready in ((later(1), 1), (later(60), 0)):
        registry = serving(lambda: latest, lambda at=at: at)  # type: ignore[misc]
        with Exporter("127.0.0.1", 0, registry) as exporter:
            assert scrape(exporter.url)["goald_ready", ()] == ready


def test_an_instance_without_processes_is_not_ready_and_can_be_scraped() -> None:
    with Exporter("127.0.0.1", 0, serving(lambda: Readings(NOW))) as exporter:
        assert scrape(exporter.url)["goald_ready", ()] == 0


def test_a_port_that_is_taken_is_named_with_what_to_do() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(StartError, match=f"{port}.*GOALD_METRICS_PORT"):
            Exporter("127.0.0.1", port, CollectorRegistry())
