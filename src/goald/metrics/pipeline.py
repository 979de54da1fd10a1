"""The metrics of consumers and shards."""

from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from goald.metrics.buckets import LATENCY_BUCKETS, SIZE_BUCKETS
from goald.metrics.executions import ExecutionMetrics


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
        self.redelivery_removed = Counter(
            "goald_redelivery_removed",
            "Contacts into which others were merged, and whose events since then were partly "
            "removed from their stream before they could be delivered again. Unknown with Redis "
            "6.2.",
            registry=registry,
        )
        self.redelivery_stopped = Counter(
            "goald_redelivery_stopped",
            "Contacts into which others were merged, and whose events since then were not all "
            "delivered again because the stream has more than 256 MiB of them.",
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
            "Events that were dead-lettered because their contact has reached the limit of active "
            "enrollments (GOALD_MAX_ENROLLMENTS_PER_CONTACT).",
            registry=registry,
        )
        self.rejected = Counter(
            "goald_events_rejected",
            "Events that a shard dead-lettered.",
            registry=registry,
        )
        self.transfers_refused = Counter(
            "goald_transfers_refused",
            "Attempts to move the enrollments of a merged contact that Postgres refused for the "
            "content of a row. They are repeated after some minutes.",
            registry=registry,
        )
        self.executions_refused = Counter(
            "goald_executions_refused",
            "Changes of executions that Postgres refused for their content, and that no event "
            "caused. The execution fails.",
            registry=registry,
        )
        self.executions_held = Gauge(
            "goald_executions_held",
            "Executions that do not run because Postgres refuses that they fail, too. They are "
            "tried again when the shard restarts.",
            registry=registry,
        )
        self.missed_dropped = Counter(
            "goald_missed_dropped",
            "Enrollments that missed an event while their workflow was paused, which was not kept "
            "because the missed events of their tenant take GOALD_MISSED_BYTES.",
            registry=registry,
        )
        self.missed_replays = Gauge(
            "goald_missed_workflows",
            "Active workflows whose missed events are exited or forgotten now. The other events of "
            "their tenants wait.",
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
        self.ended_contacts = Gauge(
            "goald_ended_contacts",
            "Contacts in memory with ended enrollments that may be watched.",
            registry=registry,
        )
        self.ended_contacts_dropped = Counter(
            "goald_ended_contacts_dropped",
            "Contacts with ended enrollments that memory dropped because there were too many. "
            "goald looks for their enrollments in Postgres.",
            registry=registry,
        )
        self._ended_contacts_dropped = 0
        self.executions = ExecutionMetrics(registry)
        self.epoch = Gauge(
            "goald_lease_epoch", "Epoch of the shard's slot lease.", registry=registry
        )
        self.breaker_open = _breaker_gauge(registry)
        self.config_version = Gauge(
            "goald_config_version", "Version of the configuration in memory.", registry=registry
        )

    def count_ended(self, contacts: int, dropped: int) -> None:
        """Take the number of contacts with ended enrollments, and of all that were dropped."""
        self.ended_contacts.set(contacts)
        self.ended_contacts_dropped.inc(dropped - self._ended_contacts_dropped)
        self._ended_contacts_dropped = dropped

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
        self.count_achievements(result, effective)
        exits = result.exits
        for effect, received_at in zip(exits.effect, exits.received_at, strict=True):
            if effective[effect]:
                self.exit_latency.observe(max(0, now_us - received_at) / 1e6)

    def count_achievements(self, result: EvaluationCounts, effective: bytes) -> None:
        """Count the achievements that were committed. `effective`: as `count`."""
        achievements = result.achievements
        for effect, goal_type in zip(achievements.effect, achievements.goal_type, strict=True):
            if effective[effect]:
                self.achievements.labels(goal_type).inc()


def _breaker_gauge(registry: CollectorRegistry) -> Gauge:
    """The gauge of the circuit breaker, which a consumer and a shard both have."""
    return Gauge(
        "goald_breaker_open",
        "1 if processing has stopped because too many events in a row failed, else 0.",
        registry=registry,
    )
