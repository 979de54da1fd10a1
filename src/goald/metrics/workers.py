"""The metrics of workers."""

from collections.abc import Callable
from enum import Enum

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from goald.metrics.buckets import LATENCY_BUCKETS


class WorkerMetrics:
    """The metrics of one worker."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._performed: dict[tuple[str, str], tuple[Counter, Histogram]] = {}
        """The metrics of jobs, by action and outcome."""
        self._actions = Counter(
            "goald_actions",
            "Jobs of actions that a worker has processed, by their outcome.",
            ["action", "outcome"],
            registry=registry,
        )
        self._seconds = Histogram(
            "goald_action_seconds",
            "Time from the start of a job in a worker to its outcome: templates, gate and call.",
            ["action"],
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self._refused = Counter(
            "goald_action_gates_refused",
            "Gates that did not let a worker call a provider, by their answer.",
            ["answer"],
            registry=registry,
        )
        self._returned = Counter(
            "goald_action_gates_returned",
            "Gates that a worker returned because it could not begin the call within 250 ms.",
            registry=registry,
        )
        self._taken_over = Counter(
            "goald_actions_taken_over",
            "Jobs that a worker took over from another one, which did not finish them.",
            ["action"],
            registry=registry,
        )
        self._in_flight = Gauge(
            "goald_actions_in_flight", "Jobs that a worker performs now.", registry=registry
        )
        self._waiting = Gauge(
            "goald_actions_waiting",
            "Jobs that a worker has received and not started: all places are taken, or their "
            "receiver or tenant has its share.",
            registry=registry,
        )
        self._receivers_waiting = Gauge(
            "goald_action_receivers_waiting",
            "Receivers (a connection, or a host of webhooks) with jobs that wait in a worker.",
            registry=registry,
        )

    def performed(self, action: str, kind: str, duration_s: float) -> None:
        found = self._performed.get((action, kind))
        if found is None:  # to look labels up takes longer than to count
            found = self._actions.labels(action, kind), self._seconds.labels(action)
            self._performed[action, kind] = found
        count, seconds = found
        count.inc()
        seconds.observe(duration_s)

    def gate_refused(self, answer: Enum) -> None:
        self._refused.labels(answer.name.lower()).inc()

    def gate_returned(self) -> None:
        self._returned.inc()

    def taken_over(self, action: str) -> None:
        self._taken_over.labels(action).inc()

    def watch(
        self,
        in_flight: Callable[[], int],
        waiting: Callable[[], int],
        receivers_waiting: Callable[[], int],
    ) -> None:
        """Read these values whenever the metrics are collected."""
        self._in_flight.set_function(in_flight)
        self._waiting.set_function(waiting)
        self._receivers_waiting.set_function(receivers_waiting)
