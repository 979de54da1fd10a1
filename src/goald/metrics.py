"""Every metric of goald: name, type, labels and help.

Each process has its own registry and sends a snapshot of it with its heartbeat. The exporter
serves all snapshots with the labels `role` and `index`, so a process that hangs cannot hang a
scrape. No label contains a tenant, contact or workflow. Counters appear with the suffix `_total`.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from goald.domain.credentials.webhooks import NotGranted

LATENCY_BUCKETS = (
    0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.008, 0.010, 0.012, 0.015, 0.020, 0.025, 0.035,
    0.050, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0,
)  # fmt: skip
SIZE_BUCKETS = (1, 4, 16, 64, 256, 1_024, 4_096, 16_384)


class EvaluationCounts(Protocol):
    """The part of an evaluation's result that is counted (`_native.Proposal`)."""

    @property
    def events(self) -> int: ...
    @property
    def deferred_events(self) -> int: ...
    @property
    def ignored(self) -> int: ...
    @property
    def refused_starts(self) -> int: ...
    @property
    def events_by_type(self) -> dict[str, int]: ...
    @property
    def achievements(self) -> Any: ...
    @property
    def exits(self) -> Any: ...


class ConsumerMetrics:
    """The metrics of a consumer."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.read = Counter(
            "goald_events_read", "Stream entries read.", ["stream"], registry=registry
        )
        self.acknowledged = Counter(
            "goald_events_acknowledged",
            "Stream entries acknowledged.",
            ["stream"],
            registry=registry,
        )
        self.rejected = Counter(
            "goald_events_unroutable",
            "Events without a readable tenant and contact, which were dead-lettered.",
            registry=registry,
        )
        self.read_entries = Histogram(
            "goald_read_entries",
            "Stream entries in one read.",
            buckets=SIZE_BUCKETS,
            registry=registry,
        )
        self.in_flight_bytes = Gauge(
            "goald_in_flight_bytes",
            "Memory of the entries that were read and are not yet acknowledged.",
            registry=registry,
        )
        self.lost = Counter(
            "goald_events_lost",
            "Stream entries that were trimmed before they were read, and are lost.",
            ["stream"],
            registry=registry,
        )
        self.replaced = Counter(
            "goald_streams_replaced",
            "Times that a stream was replaced or lost data, so that reading started again.",
            ["stream"],
            registry=registry,
        )
        self.suspect_batches = Counter(
            "goald_dispatch_suspect_batches",
            "Batches that a shard was processing when it died.",
            registry=registry,
        )
        self.poison_events = Counter(
            "goald_events_poison",
            "Events that were dead-lettered because they repeatedly killed a shard or a consumer.",
            registry=registry,
        )
        self.breaker_open = _breaker_gauge(registry)
        self.dispatch_retries = Counter(
            "goald_dispatch_retries", "Batches dispatched to a shard again.", registry=registry
        )
        self.retries = Counter(
            "goald_consumer_retries",
            "Operations that a consumer repeated after a failure.",
            ["operation"],
            registry=registry,
        )


class ShardMetrics:
    """The metrics of a shard."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.evaluated = Counter(
            "goald_events_evaluated", "Events evaluated.", ["type"], registry=registry
        )
        self.ignored = Counter(
            "goald_events_ignored",
            "Events of types that goald does not evaluate.",
            registry=registry,
        )
        self.deferred = Counter(
            "goald_events_deferred",
            "Events that waited because their tenant had used its share of a group's work. An "
            "event that waits for several groups is counted for each.",
            registry=registry,
        )
        self.starts_refused = Counter(
            "goald_enrollment_starts_refused",
            "Events that were dead-lettered because their contact has as many active enrollments "
            "as it may have (GOALD_MAX_ENROLLMENTS_PER_CONTACT).",
            registry=registry,
        )
        self.rejected = Counter(
            "goald_events_rejected",
            "Events that a shard dead-lettered.",
            registry=registry,
        )
        self.achievements = Counter(
            "goald_achievements", "Achievements recorded.", ["goal_type"], registry=registry
        )
        self.exits = Counter("goald_exits", "Exits published.", registry=registry)
        self.republished = Counter(
            "goald_messages_republished",
            "Messages published again because Redis or Postgres was replaced or lost data.",
            registry=registry,
        )
        self.exits_retried = Counter(
            "goald_exits_retried",
            "Exits published again because no acknowledgement arrived (GOALD_EXIT_RETRY).",
            registry=registry,
        )
        self.group_events = Histogram(
            "goald_group_events",
            "Events in one group commit.",
            buckets=SIZE_BUCKETS,
            registry=registry,
        )
        self.stage_seconds = Histogram(
            "goald_stage_seconds",
            "Duration of one stage of processing a group: evaluate, commit or publish.",
            ["stage"],
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self.exit_latency = Histogram(
            "goald_exit_latency_seconds",
            "Time from an event's stream entry to the publication of its exit.",
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self.retries = Counter(
            "goald_shard_retries",
            "Operations that a shard repeated after a failure.",
            ["operation"],
            registry=registry,
        )
        self.enrollments = Gauge(
            "goald_enrollments_active", "Active enrollments in memory.", registry=registry
        )
        self.listeners = Gauge(
            "goald_listeners",
            "Listeners in memory: pairs of a goal and an active enrollment.",
            registry=registry,
        )
        self.matcher_bytes = Gauge(
            "goald_matcher_bytes", "Memory of the native matcher.", registry=registry
        )
        self.epoch = Gauge(
            "goald_lease_epoch", "Epoch of the shard's slot lease.", registry=registry
        )
        self.breaker_open = _breaker_gauge(registry)
        self.config_version = Gauge(
            "goald_config_version", "Version of the configuration in memory.", registry=registry
        )

    def count(self, result: EvaluationCounts, effective: bytes, now_us: int) -> None:
        """Count a published group. `effective` has one byte for each proposed effect, nonzero if
        it was committed; only those count."""
        for name, events in result.events_by_type.items():
            self.evaluated.labels(name).inc(events)
        self.ignored.inc(result.ignored)
        self.deferred.inc(result.deferred_events)
        self.starts_refused.inc(result.refused_starts)
        if result.events:  # the last slice of a group has the number of all its events
            self.group_events.observe(result.events)
        achievements, exits = result.achievements, result.exits
        for effect, goal_type in zip(achievements.effect, achievements.goal_type, strict=True):
            if effective[effect]:
                self.achievements.labels(goal_type).inc()
        for effect, received_at in zip(exits.effect, exits.received_at, strict=True):
            if effective[effect]:
                self.exit_latency.observe(max(0, now_us - received_at) / 1e6)


def _breaker_gauge(registry: CollectorRegistry) -> Gauge:
    """The gauge of the circuit breaker, which a consumer and a shard both have."""
    return Gauge(
        "goald_breaker_open",
        "1 if processing has stopped because too many events in a row failed, else 0.",
        registry=registry,
    )


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


class TrimmingMetrics:
    """The metrics of the trimming job."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.trimmed = Counter(
            "goald_stream_trimmed",
            "Fully acknowledged entries that were removed from a stream.",
            ["stream"],
            registry=registry,
        )


class StreamBoundMetrics:
    """The metrics of the job that bounds the streams."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.bytes = Gauge(
            "goald_stream_bytes",
            "Memory of a stream in Redis, estimated from a sample. The bound of an event stream, "
            "of goald:exits and of goald:notices is GOALD_STREAM_BYTES.",
            ["stream"],
            registry=registry,
        )
        self.trimmed_early = Counter(
            "goald_stream_trimmed_early",
            "Entries that were removed before GOALD_KEEP because their stream took more than half "
            "of GOALD_STREAM_BYTES.",
            ["stream"],
            registry=registry,
        )


class AdmissionMetrics:
    """The metrics of the admission of events to the streams."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.no_room = Counter(
            "goald_api_no_room",
            "Requests refused for lack of room in a stream. Cause: `tenant` if the tenant has too "
            "many unprocessed events, `stream` if the stream is full, `redis` if Redis is.",
            ["stream", "cause"],
            registry=registry,
        )
        self.throttled = Counter(
            "goald_api_throttled",
            "Requests refused because a shard is still processing earlier events of the tenant.",
            registry=registry,
        )
        self.starts_refused = Counter(
            "goald_api_enrollment_starts_refused",
            "Starts of enrollments that the API refused because their contact has as many active "
            "enrollments as it may have (GOALD_MAX_ENROLLMENTS_PER_CONTACT).",
            registry=registry,
        )


class ErasureMetrics:
    """The metrics of the job that erases deleted contacts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.pending = Gauge(
            "goald_erasures_pending",
            "Deleted contacts whose erasure is not finished.",
            registry=registry,
        )
        self.oldest = Gauge(
            "goald_erasure_oldest_seconds",
            "Age of the oldest erasure that is not finished; 0 if there is none.",
            registry=registry,
        )
        self.finished = Counter("goald_erasures", "Erasures finished.", registry=registry)
        self.scan_ratio = Gauge(
            "goald_erasure_scan_ratio",
            "Fraction of the entries that the running scan for deleted contacts has read; 1 if "
            "none is running.",
            registry=registry,
        )
        self.removed = Counter(
            "goald_erasure_entries_removed",
            "Entries of deleted contacts that were removed, by stream.",
            ["stream"],
            registry=registry,
        )
        self.scan_ratio.set(1)


class ApiMetrics:
    """The metrics of an API process. `route` is the template of a route, not a path."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "goald_api_requests",
            "HTTP requests answered.",
            ["route", "method", "status"],
            registry=registry,
        )
        self.seconds = Histogram(
            "goald_api_request_seconds",
            "Time from the head of a request to the end of its response.",
            ["route", "method"],
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self.webhook_events_refused = Counter(
            "goald_webhook_events_refused",
            "Events of signed requests whose type or source the webhook may not send, by the "
            "attribute.",
            ["attribute"],
            registry=registry,
        )
        self.events = Counter(
            "goald_api_events",
            "Events in requests: published, ignored because of their type, or refused.",
            ["outcome"],
            registry=registry,
        )

        self.event_units = Counter(
            "goald_api_event_units",
            "Units that events cost of the quotas of their tenants, by the reason: `size` for the "
            "units of their size, `work` for those beyond it.",
            ["reason"],
            registry=registry,
        )

    def count_units(self, of_size: int, total: int) -> None:
        """Count the units of one request."""
        self.event_units.labels("size").inc(of_size)
        self.event_units.labels("work").inc(total - of_size)

    def count_not_granted(self, counts: Mapping[NotGranted, int]) -> None:
        for attribute, number in counts.items():
            self.webhook_events_refused.labels(attribute).inc(number)

    def count_events(self, published: int, ignored: int, refused: int) -> None:
        """Count the events of one request by outcome."""
        self.events.labels("published").inc(published)
        self.events.labels("ignored").inc(ignored)
        self.events.labels("refused").inc(refused)

    def count(self, route: str, method: str, status: int, seconds: float) -> None:
        self.requests.labels(route, method, str(status)).inc()
        self.seconds.labels(route, method).observe(seconds)


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
