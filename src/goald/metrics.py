"""Every metric that goald keeps: name, type, labels, help. In one place.

Each process keeps a registry of its own and sends a snapshot of it with its heartbeat; the
exporter serves all of them with the labels `role` and `index` (so a stopped process cannot
hang a scrape). No tenant, contact or workflow is ever a label.
"""

from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

LATENCY_BUCKETS = (
    0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.008, 0.010, 0.012, 0.015, 0.020, 0.025, 0.035,
    0.050, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0,
)  # fmt: skip
SIZE_BUCKETS = (1, 4, 16, 64, 256, 1_024, 4_096, 16_384)


class Judged(Protocol):
    """What an evaluation came to, as far as it is counted (`_native.Proposal`)."""

    @property
    def events(self) -> int: ...
    @property
    def passed_over(self) -> int: ...
    @property
    def events_by_type(self) -> dict[str, int]: ...
    @property
    def achievements(self) -> Any: ...
    @property
    def exits(self) -> Any: ...


class ConsumerMetrics:
    """What a consumer counts."""

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
            "Events in which no tenant and contact could be found.",
            registry=registry,
        )
        self.read_entries = Histogram(
            "goald_read_entries", "Entries in one read.", buckets=SIZE_BUCKETS, registry=registry
        )
        self.in_flight_bytes = Gauge(
            "goald_in_flight_bytes",
            "Bytes read and not yet acknowledged, with what it costs to keep them.",
            registry=registry,
        )
        self.lost = Counter(
            "goald_events_lost",
            "Stream entries that were trimmed before they were read.",
            ["stream"],
            registry=registry,
        )
        self.replaced = Counter(
            "goald_streams_replaced",
            "Times that a stream was not the one that was read, and was read anew.",
            ["stream"],
            registry=registry,
        )
        self.suspected = Counter(
            "goald_dispatch_suspect_batches",
            "Batches under which a shard died.",
            registry=registry,
        )
        self.buried = Counter(
            "goald_events_poison",
            "Events that went to goald:dead because a process died of them each time.",
            registry=registry,
        )
        self.breaker_open = Gauge(
            "goald_breaker_open",
            "1 where too many events in a row could not be processed; reading has stopped.",
            registry=registry,
        )
        self.resent = Counter(
            "goald_dispatch_retries", "Batches handed to a shard again.", registry=registry
        )
        self.retries = Counter(
            "goald_consumer_retries", "Operations retried.", ["operation"], registry=registry
        )


class ShardMetrics:
    """What a shard counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.evaluated = Counter(
            "goald_events_evaluated", "Events evaluated.", ["type"], registry=registry
        )
        self.passed_over = Counter(
            "goald_events_ignored",
            "Events of types that goald does not read.",
            registry=registry,
        )
        self.rejected = Counter(
            "goald_events_rejected", "Events that went to goald:dead.", registry=registry
        )
        self.achievements = Counter(
            "goald_achievements", "Goals met.", ["goal_type"], registry=registry
        )
        self.exits = Counter("goald_exits", "Exits published.", registry=registry)
        self.republished = Counter(
            "goald_messages_republished",
            "Messages published again because Redis or Postgres came back as another.",
            registry=registry,
        )
        self.exits_retried = Counter(
            "goald_exits_retried",
            "Exits published again because nobody had acknowledged them.",
            registry=registry,
        )
        self.group_events = Histogram(
            "goald_group_events", "Events in one commit.", buckets=SIZE_BUCKETS, registry=registry
        )
        self.stage_seconds = Histogram(
            "goald_stage_seconds",
            "Time of a step of the way.",
            ["stage"],
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self.exit_latency = Histogram(
            "goald_exit_latency_seconds",
            "From an event's stream entry to the publication of its exit.",
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self.retries = Counter(
            "goald_shard_retries", "Operations retried.", ["operation"], registry=registry
        )
        self.enrollments = Gauge(
            "goald_enrollments_active", "Active enrollments held.", registry=registry
        )
        self.listeners = Gauge("goald_listeners", "Listeners held.", registry=registry)
        self.held_bytes = Gauge(
            "goald_matcher_bytes", "Bytes that the index holds.", registry=registry
        )
        self.epoch = Gauge("goald_lease_epoch", "Epoch of the lease held.", registry=registry)
        self.breaker_open = Gauge(
            "goald_breaker_open",
            "1 where so many events in a row could not be processed that no more are taken.",
            registry=registry,
        )
        self.config_version = Gauge(
            "goald_config_version", "Version of the configuration held.", registry=registry
        )

    def count(self, judged: Judged, effective: bytes, now_us: int) -> None:
        """Take in what a group came to, once it is published. Of its effects count those that
        took hold: `effective` holds a byte for each."""
        for name, events in judged.events_by_type.items():
            self.evaluated.labels(name).inc(events)
        self.passed_over.inc(judged.passed_over)
        if judged.events:  # all of a group's are counted with its last slice
            self.group_events.observe(judged.events)
        met, exits = judged.achievements, judged.exits
        for effect, goal_type in zip(met.effect, met.goal_type, strict=True):
            if effective[effect]:
                self.achievements.labels(goal_type).inc()
        for effect, received_at in zip(exits.effect, exits.received_at, strict=True):
            if effective[effect]:
                self.exit_latency.observe(max(0, now_us - received_at) / 1e6)


class TrimmingMetrics:
    """What the daemon's trimming counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.trimmed = Counter(
            "goald_stream_trimmed",
            "Entries that every group had acknowledged, taken out of a stream.",
            ["stream"],
            registry=registry,
        )


class ApiMetrics:
    """What an API process counts. `route` is a route's template, never a path."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "goald_api_requests",
            "Requests over HTTP that were answered.",
            ["route", "method", "status"],
            registry=registry,
        )
        self.seconds = Histogram(
            "goald_api_request_seconds",
            "From a request's head to the end of its answer.",
            ["route", "method"],
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )

    def count(self, route: str, method: str, status: int, seconds: float) -> None:
        self.requests.labels(route, method, str(status)).inc()
        self.seconds.labels(route, method).observe(seconds)


def snapshot(registry: CollectorRegistry) -> list[dict[str, Any]]:
    """A registry as plain values that JSON carries: `name`, `type`, `help`, and `samples` of
    (name, labels, value)."""
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
