"""The endpoint that Prometheus scrapes: the metrics of every process of this instance.

Processes send their metrics with their heartbeats. A scrape serves the latest snapshots and
contacts no process, so a process that hangs cannot hang a scrape. The age of each snapshot is a
metric too.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from threading import Thread
from types import TracebackType
from typing import Self

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import Metric

from goald.domain.errors import StartError
from goald.metrics.instance import instance_metrics, snapshot_age
from goald.ports.process_registry import Readings
from goald.runtime.heartbeat.exporter_server import MetricsServer
from goald.runtime.heartbeat.readiness import is_ready
from goald.runtime.http.listen_socket import bind_error, host_in_url


class Exporter:
    """An HTTP server on its own thread, from construction until `close`.

    Serves `registry`, which is collected on that thread for each scrape. Port 0 picks any free
    port. Raises StartError if the address cannot be bound.
    """

    def __init__(self, host: str, port: int, registry: CollectorRegistry) -> None:
        try:
            self._server = MetricsServer(host, port, make_wsgi_app(registry))
        except OSError as error:
            raise StartError(bind_error(host, port, error, "/metrics", "GOALD_METRICS")) from error
        self._thread = Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://{host_in_url(host)}:{self._server.server_port}/metrics"

    def close(self) -> None:
        """Stop listening. Waits for the thread, not for scrapes in progress."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class ReadingsCollector:
    """A Prometheus collector over the latest readings.

    `latest` returns them; it is called for each scrape, on any thread, and must not block. Ages
    and readiness are computed at the time of the scrape.
    """

    def __init__(
        self,
        latest: Callable[[], Readings],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._latest = latest
        self._now = now

    def collect(self) -> Iterable[Metric]:
        # Evaluated now, because readings grow stale while Redis is unreachable.
        readings = replace(self._latest(), at=self._now())
        yield from instance_metrics(
            ready=is_ready(readings),
            lag=readings.lag,
            dead=readings.dead,
            dead_dropped=readings.dead_dropped,
        )
        yield from _process_metrics(readings)


def _process_metrics(readings: Readings) -> Iterator[Metric]:
    age = snapshot_age()
    families: dict[str, Metric] = {}
    for heartbeat in readings.heartbeats:
        process = {"role": heartbeat.role, "index": str(heartbeat.index)}
        age.add_metric(list(process.values()), heartbeat.age_s(readings.at))
        for snapshot in heartbeat.metrics:
            family = families.setdefault(
                snapshot["name"], Metric(snapshot["name"], snapshot["help"], snapshot["type"])
            )
            for name, labels, value in snapshot["samples"]:
                family.add_sample(name, {**labels, **process}, value)
    yield age
    yield from families.values()
