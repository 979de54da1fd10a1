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

        # A look-up of labels takes longer than the count.
        self._size_units, self._work_units = map(self.event_units.labels, ("size", "work"))
        self._published, self._ignored, self._refused = map(
            self.events.labels, ("published", "ignored", "refused")
        )
        self._of_request: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        """By route, method and status."""

    def count_units(self, of_size: int, total: int) -> None:
        """Count the units of one request."""
        self._size_units.inc(of_size)
        self._work_units.inc(total - of_size)

    def count_not_granted(self, counts: Mapping[NotGranted, int]) -> None:
        for attribute, number in counts.items():
            self.webhook_events_refused.labels(attribute).inc(number)

    def count_events(self, published: int, ignored: int, refused: int) -> None:
        """Count the events of one request by outcome."""
        self._published.inc(published)
        if ignored:
            self._ignored.inc(ignored)
        if refused:
            self._refused.inc(refused)

    def count(self, route: str, method: str, status: int, seconds: float) -> None:
        found = self._of_request.get((route, method, status))
        if found is None:
            found = self.requests.labels(route, method, status), self.seconds.labels(route, method)
            self._of_request[route, method, status] = found
        requests, histogram = found
        requests.inc()
        histogram.observe(seconds)
