"""The metrics of API processes."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram

from goald.domain.credentials.webhooks import NotGranted
from goald.metrics.buckets import LATENCY_BUCKETS


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
            "Starts of enrollments that the API refused because their contact has reached the "
            "limit of active enrollments (GOALD_MAX_ENROLLMENTS_PER_CONTACT).",
            registry=registry,
        )


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

        self.deliveries = Counter(
            "goald_source_deliveries",
            "Deliveries to sources with the right key in the path. `accepted`: events are on the "
            "streams. `ignored`: none of its events counts. `handshake`: answered. `unverified`: "
            "its signature is wrong. `failed`: the provider must deliver it again.",
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
