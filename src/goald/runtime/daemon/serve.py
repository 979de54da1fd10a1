"""`goald serve`: from the first check to the exit code."""

import contextlib
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import uvloop
from prometheus_client import CollectorRegistry

from goald.ports.process_registry import Readings
from goald.runtime.daemon.console import ServeConsole
from goald.runtime.daemon.daemon import Daemon, ServeOptions, Urls
from goald.runtime.daemon.environment import embedded_environment, external_environment
from goald.runtime.daemon.readings_watcher import LatestReadings
from goald.runtime.daemon.signals import StartInterrupt, end_immediately_afterwards
from goald.runtime.heartbeat.exporter import Exporter, ReadingsCollector
from goald.runtime.http.listen_socket import api_socket
from goald.settings import Settings

METRICS_PORT = 9464


def serve(settings: Settings, *, embedded: bool, demo: bool, console: ServeConsole) -> int:
    """Run until SIGTERM or SIGINT, then stop reading, finish what is in flight and return 0,
    within 25 s (D7); return 1 if something was not finished, which is then read again at the
    next start. A second signal ends the process immediately.

    Blocks, on the main thread. Raises GoaldError if it cannot start; everything that it had
    started is stopped then.
    """
    latest = LatestReadings(Readings(at=datetime.now(UTC)))
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ReadingsCollector(latest.get))
    port = settings.metrics_port
    if port is None:
        port = 0 if embedded else METRICS_PORT
    open_environment = embedded_environment if embedded else external_environment
    interrupt = StartInterrupt()
    interrupt.install()
    try:
        with (
            contextlib.suppress(SystemExit),  # raised by StartInterrupt, or by Ray on SIGTERM
            Exporter(settings.metrics_host, port, registry) as exporter,
            _api_socket(settings, embedded=embedded) as (listen_socket, api_url),
            open_environment(settings, console) as environment,
        ):
            console.step("starting Ray")
            try:
                with end_immediately_afterwards(environment.cluster):
                    environment.cluster.start(environment.record)
                    urls = Urls(metrics=exporter.url, api=api_url)
                    options = ServeOptions(embedded=embedded, demo=demo)
                    daemon = Daemon(environment, options, urls, latest, console)
                    if listen_socket is not None:
                        daemon.serve_api(listen_socket)
                    return _ungroup(lambda: uvloop.run(daemon.run()))
            finally:
                environment.cluster.stop()
    except Exception:
        if not interrupt.requested:  # an interrupted start may fail in any way
            raise
    return 0


@contextlib.contextmanager
def _api_socket(
    settings: Settings, *, embedded: bool
) -> Iterator[tuple[socket.socket | None, str | None]]:
    """Yields the API's socket and URL; (None, None) if tokens could not be checked. `--embedded`
    generates a secret; otherwise the settings must say how to check tokens."""
    if settings.tokens is None and not (embedded and settings.jwt_algorithm == "HS256"):
        yield None, None
        return
    with api_socket(settings, embedded=embedded) as (listen_socket, url):
        yield listen_socket, url


def _ungroup(run: Callable[[], int]) -> int:
    """Raise the first error of an exception group instead of the group."""
    try:
        return run()
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None
