"""The API process of `goald serve`: the application of `goald api` on the socket of the driver.

It reads an `ApiStart` and then the state of the driver from standard input, and writes signs of
life to standard output.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from goald.api.app import create_app
from goald.domain.errors import ServiceUnavailable
from goald.ports.process_registry import Readings, ReadingsSource
from goald.runtime import logs
from goald.runtime.daemon.api.link import ApiStart, DriverState
from goald.runtime.daemon.children import signs
from goald.runtime.daemon.children.messages import show_life, standard_input
from goald.runtime.garbage_collection import collect_garbage_rarely
from goald.runtime.heartbeat.exporter import ReadingsCollector
from goald.runtime.heartbeat.readiness import not_ready_reasons
from goald.runtime.heartbeat.reporter import HeartbeatReporter
from goald.runtime.http.server import API_GC_THRESHOLD, ApiServer, run_until_signal
from goald.runtime.wiring.api import api_dependencies, connection_limits
from goald.runtime.wiring.daemon import Endpoints, process_registry, system_clock
from goald.settings import Settings

READ_SECONDS = 1.0
STARTING_SECONDS = 0.25
"""Between two readings while the instance is not ready."""


async def serve(prepared: Callable[[], None]) -> int:
    """Serve until SIGTERM, then answer the requests in progress and return 0. Ends the process
    immediately if the driver ends. Calls `prepared` when only the first state of the driver is
    missing."""
    lines = await standard_input()
    start = ApiStart.decode(await lines.readline())
    stream = None
    if start.log_dir is not None:
        log = Path(start.log_dir) / "api.log"
        stream = log.open("a", buffering=1, encoding="utf-8")
    logs.configure(start.settings.log_level, start.settings.log_format, stream)
    api = InstanceApi(start.settings, process_registry(_endpoints(start.settings)))
    with socket.socket(fileno=start.listen_fd) as listen_socket:
        return await api.run(listen_socket, lines, prepared)


class InstanceApi:
    """The API with the readiness and the metrics of its instance."""

    def __init__(self, settings: Settings, registry: ReadingsSource) -> None:
        """`registry`: the heartbeats of all processes. Connects to nothing."""
        self._settings = settings
        self._registry = registry
        self._readings = Readings(at=datetime.now(UTC))
        self._driver = DriverState(not_ready_reason="starting actors", standby=True)
        self._metrics = CollectorRegistry()

    async def run(
        self,
        listen_socket: socket.socket,
        lines: asyncio.StreamReader,
        prepared: Callable[[], None],
    ) -> int:
        """Serve on this socket from the first state of the driver on. `lines`: what the driver
        sends. `prepared`: see `serve`."""
        served = CollectorRegistry(auto_describe=False)
        served.register(ReadingsCollector(lambda: self._readings))
        dependencies = api_dependencies(
            self._settings,
            registry=served,
            own_metrics=self._metrics,
            not_ready_reasons=self.not_ready_reasons,
        )
        limits = connection_limits(self._settings.api)
        server = ApiServer(create_app(dependencies), listen_socket, limits)
        heartbeat = HeartbeatReporter(
            "api",
            0,
            processes=process_registry(_endpoints(self._settings)),
            clock=system_clock(),
            describe=lambda: None if self._driver.standby else {"ready": True},
            registry=self._metrics,
        )
        collect_garbage_rarely(API_GC_THRESHOLD)
        prepared()
        await self._wait_for_driver(lines)
        jobs: list[Coroutine[Any, Any, None]] = [
            self._follow_driver(lines, heartbeat),
            self._read(),
            heartbeat.run(),
            show_life(),
        ]
        running = [asyncio.create_task(job) for job in jobs]
        try:
            return await run_until_signal(server, lambda: signs.send(signs.READY))
        finally:
            for task in running:
                task.cancel()
            if not self._driver.standby:
                await heartbeat.remove()
            await heartbeat.close()

    def not_ready_reasons(self) -> list[str]:
        """Why the instance is not ready, the cause first, evaluated now: the latest readings
        grow stale while Redis is unreachable."""
        if self._driver.not_ready_reason is not None:
            return [self._driver.not_ready_reason]
        readings = replace(self._readings, at=datetime.now(UTC))
        return not_ready_reasons(readings.heartbeats, readings.at)

    async def _wait_for_driver(self, lines: asyncio.StreamReader) -> None:
        """Return when this process is to serve; a spare process waits here."""
        alive = asyncio.create_task(show_life())
        line = await lines.readline()
        alive.cancel()
        if not line:
            os._exit(1)  # the driver has ended
        self._driver = DriverState.decode(line)

    async def _follow_driver(
        self, lines: asyncio.StreamReader, heartbeat: HeartbeatReporter
    ) -> None:
        while line := await lines.readline():
            before, self._driver = self._driver, DriverState.decode(line)
            if before.standby and not self._driver.standby:
                await heartbeat.send()
        os._exit(1)  # the driver has ended

    async def _read(self) -> None:
        while True:
            with contextlib.suppress(ServiceUnavailable):  # /readyz reports it
                self._readings = await self._registry.readings()
            await asyncio.sleep(STARTING_SECONDS if self.not_ready_reasons() else READ_SECONDS)


def _endpoints(settings: Settings) -> Endpoints:
    return Endpoints(redis_url=settings.redis.url, postgres_dsn=settings.postgres.dsn)
