"""The endpoint that Prometheus scrapes: the metrics of every process of this instance.

Processes push what they count with their heartbeats; a scrape serves what was last heard
and asks nobody, so a process that hangs cannot hang it. How old each is stands beside it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from threading import Thread
from types import TracebackType
from typing import Self
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from goald.domain.errors import StartError
from goald.runtime.heartbeat.rates import Readings
from goald.runtime.http.listen_socket import in_url, why_not


class Exporter:
    """An HTTP server on a thread of its own, from construction until `close`.

    What it serves is `registry`, read for each scrape, on that thread. Port 0 takes any free
    port. StartError where the address cannot be taken.
    """

    def __init__(self, host: str, port: int, registry: CollectorRegistry) -> None:
        self._server: WSGIServer
        self._thread: Thread
        try:
            self._server, self._thread = start_http_server(port, host, registry)
        except OSError as error:
            raise StartError(why_not(host, port, error, "/metrics", "GOALD_METRICS")) from error
        self.url = f"http://{in_url(host)}:{self._server.server_port}/metrics"

    def close(self) -> None:
        """Stop listening. Waits for the thread, not for scrapes under way."""
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


class Collected:
    """A collector over the latest readings.

    `latest` is called for each scrape, on whichever thread: it gives what was last read and
    must not block. Ages and readiness are of the moment of the scrape.
    """

    def __init__(
        self,
        latest: Callable[[], Readings],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._latest = latest
        self._now = now

    def collect(self) -> Iterable[Metric]:
        # Judged now: where Redis is away, what was last read grows old.
        readings = replace(self._latest(), at=self._now())
        yield from _instance(readings)
        yield from _processes(readings)


def _instance(readings: Readings) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "goald_ready", "Whether every process is there and ready.", value=float(readings.ready)
    )
    lag = GaugeMetricFamily(
        "goald_lag_entries", "Entries that are not yet acknowledged.", labels=["stream"]
    )
    for stream, entries in sorted(readings.lag.items()):
        lag.add_metric([stream], entries)
    yield lag
    yield GaugeMetricFamily("goald_dead_entries", "Entries in goald:dead.", value=readings.dead)
    yield CounterMetricFamily(
        "goald_dead_dropped",
        "Dead letters that went because goald:dead was full (GOALD_DEAD_BYTES).",
        value=readings.dead_dropped,
    )


def _processes(readings: Readings) -> Iterator[Metric]:
    age = GaugeMetricFamily(
        "goald_process_snapshot_age_seconds",
        "How long ago a process sent what is served of it.",
        labels=["role", "index"],
    )
    families: dict[str, Metric] = {}
    for heartbeat in readings.heartbeats:
        whose = {"role": heartbeat.role, "index": str(heartbeat.index)}
        age.add_metric(list(whose.values()), heartbeat.age_s(readings.at))
        for sent in heartbeat.metrics:
            family = families.setdefault(
                sent["name"], Metric(sent["name"], sent["help"], sent["type"])
            )
            for name, labels, value in sent["samples"]:
                family.add_sample(name, {**labels, **whose}, value)
    yield age
    yield from families.values()
