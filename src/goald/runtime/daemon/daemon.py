"""The event loop of `goald serve`: starts the actors, runs the jobs, and stops in order."""

import asyncio
import os
import signal
import socket
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry

from goald.client import Publisher
from goald.configuration.file import read_configuration
from goald.runtime import instance as instances
from goald.runtime.daemon.api.link import DriverState
from goald.runtime.daemon.api.supervisor import ApiSupervisor
from goald.runtime.daemon.console import ServeConsole
from goald.runtime.daemon.environment import ServiceEnvironment
from goald.runtime.daemon.leader_runner import LeaderRunner
from goald.runtime.daemon.readings_watcher import LatestReadings, ReadingsWatcher
from goald.runtime.daemon.signals import STOP_SIGNALS, end_immediately
from goald.runtime.daemon.workers.supervisor import WorkerSupervisor
from goald.runtime.demo import tenant as demo_tenant
from goald.runtime.demo.mail import keep_newest_mail
from goald.runtime.heartbeat.reporter import HeartbeatReporter
from goald.runtime.instance import Instance
from goald.runtime.jobs.retention import Keep
from goald.runtime.jobs.stream_count_watcher import StreamCountWatcher
from goald.runtime.wiring.daemon import (
    Endpoints,
    configuration_service,
    erasure,
    erasure_pages,
    leader_election,
    process_registry,
    retention,
    stream_bounds,
    system_clock,
    transfer_reporter,
    trimming,
)
from goald.runtime.wiring.workers import EMAIL, MESSAGES, own_urls
from goald.settings import HOW_TO_CHECK_TOKENS

STOP_SECONDS = 23.0
"""For the API and the actors; the rest of the 25 s is for Ray and the embedded servers (D7)."""


@dataclass(frozen=True, slots=True)
class Urls:
    """The addresses of the daemon. `api` is None if the API is not served."""

    metrics: str
    api: str | None


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """The options of `goald serve`."""

    embedded: bool
    demo: bool


class Daemon:
    """Runs once, from `run` to a stop signal."""

    def __init__(
        self,
        environment: ServiceEnvironment,
        options: ServeOptions,
        urls: Urls,
        latest: LatestReadings,
        console: ServeConsole,
    ) -> None:
        """Ray must be running. Connects to nothing."""
        self._environment = environment
        self._settings = environment.settings
        self._options = options
        self._urls = urls
        self._latest = latest
        self._console = console
        self._metrics = CollectorRegistry()  # sent with the supervisor's heartbeat
        self._endpoints = Endpoints(
            redis_url=self._settings.redis.url,
            postgres_dsn=self._settings.postgres.dsn,
            log_level=self._settings.log_level,
            log_format=self._settings.log_format,
            dead_bytes=self._settings.dead_bytes,
            log_dir=str(environment.log_dir) if environment.log_dir else None,
        )
        self._processes = process_registry(self._endpoints)
        self._api: ApiSupervisor | None = None
        self._workers = WorkerSupervisor(
            self._settings,
            own_urls(self._settings, urls.api, urls.metrics),
            environment.log_dir,
            lambda: self._leader.is_active,
            console,
        )
        self._stop = asyncio.Event()
        self._streams: int
        self._leader: LeaderRunner
        self._readings = ReadingsWatcher(
            self._processes, latest, environment, self._leader_reason, console
        )

    def serve_api(self, listen_socket: socket.socket) -> None:
        """Serve the API on this socket from `run` on."""
        self._api = ApiSupervisor(
            self._settings, listen_socket, self._environment.log_dir, self._state, self._console
        )

    async def run(self) -> int:
        """Start everything, run until a stop signal, and stop everything. Returns the exit
        code. Raises GoaldError if a part cannot start or ends unexpectedly."""
        self._handle_signals()
        self._streams = await self._processes.ensure_stream_count(self._settings.streams)
        self._leader = LeaderRunner(
            self._environment,
            self._endpoints,
            self._streams,
            leader_election(self._endpoints),
            self._console,
            self._handle_signals,
        )
        heartbeat = HeartbeatReporter(
            "supervisor",
            0,
            processes=self._processes,
            clock=system_clock(),
            describe=self._describe,
            registry=self._metrics,
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(job) for job in self._jobs_from_the_start()]
                if await self._is_ready_before_the_stop():
                    if self._options.demo:
                        await self._configure_demo()
                    await heartbeat.send()
                    self._show_addresses()
                    self._readings.started()
                    running += [tasks.create_task(job) for job in self._jobs_once_ready(heartbeat)]
                    await self._stop.wait()
                for task in running:
                    task.cancel()
        finally:
            drained = await self._finish()
            if self._options.embedded:
                instances.remove(self._settings.data_dir)
            await heartbeat.remove()
            await heartbeat.close()
            if not drained:
                self._console.problem(
                    f"Not everything in flight was finished within {STOP_SECONDS:.0f} s. "
                    "It is read again at the next start; nothing is lost."
                )
        return 0 if drained else 1

    async def _finish(self) -> bool:
        """Answer the requests in progress while shards can serve them, and let the workers finish
        their calls while consumers read the results; then let the actors finish (D7). Returns
        whether all finished in time, which is impossible if an embedded server has ended."""
        if self._environment.ended_servers():
            return False
        loop = asyncio.get_running_loop()
        deadline = loop.time() + STOP_SECONDS
        workers = asyncio.create_task(self._workers.stop())
        if self._api is not None:
            await self._api.stop()
        finished = await workers
        return await self._leader.stop(within=deadline - loop.time()) and finished

    async def _is_ready_before_the_stop(self) -> bool:
        waits = {asyncio.ensure_future(wait) for wait in (self._until_ready(), self._stop.wait())}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return not self._stop.is_set()

    async def _until_ready(self) -> None:
        await self._leader.ready.wait()
        if self._api is not None:
            await self._api.ready.wait()
        await self._workers.until_ready()

    def _show_addresses(self) -> None:
        """Show the addresses on the console, and write them down for other commands."""
        instance = Instance(
            redis_url=self._endpoints.redis_url,
            postgres_dsn=self._endpoints.postgres_dsn,
            pid=os.getpid(),
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            api_url=self._urls.api,
            metrics_url=self._urls.metrics,
            data_dir=str(self._settings.data_dir) if self._options.embedded else None,
        )
        if self._options.embedded:
            instances.write(self._settings.data_dir, instance)
        self._console.ready(instance)
        if self._api is None:
            self._console.problem(
                f"The API is not served, because it cannot check tokens: {HOW_TO_CHECK_TOKENS}."
            )

    def _jobs_from_the_start(self) -> list[Coroutine[Any, Any, None]]:
        """Jobs that run until cancelled. The first failure ends the daemon."""
        stream_count = StreamCountWatcher(self._processes, self._streams, system_clock())
        jobs = [self._leader.run(), self._readings.run(), stream_count.run(), self._workers.run()]
        if self._api is not None:  # first: /readyz says that the actors are starting
            jobs.insert(0, self._api.run())
        return jobs

    def _jobs_once_ready(self, heartbeat: HeartbeatReporter) -> list[Coroutine[Any, Any, None]]:
        """Further jobs of that kind, which need ready actors."""
        settings = self._settings
        keep = Keep(settings.retention, settings.used_keep_days, settings.log_retention)
        partitions = retention(self._endpoints.postgres_dsn, keep)
        streams = trimming(self._settings, self._endpoints, self._metrics)
        bounds = stream_bounds(
            self._endpoints.redis_url, self._settings.stream_bytes, self._metrics
        )
        erasures = erasure(self._settings, self._endpoints, self._metrics)
        pages = erasure_pages(self._endpoints)
        jobs = [heartbeat.run(), partitions.run(), streams.run(), bounds.run()]
        transfers = transfer_reporter(self._endpoints, self._metrics)
        jobs += [erasures.run(), pages.run(), transfers.run()]
        if self._options.demo:
            emails = self._settings.data_dir.expanduser() / MESSAGES[EMAIL]
            jobs += [self._send_demo_traffic(), keep_newest_mail(emails, self._stop)]
        return jobs

    async def _configure_demo(self) -> None:
        self._console.step("configuring the demo's workflows")
        service = configuration_service(self._settings.postgres.api_dsn, self._endpoints.redis_url)
        try:
            await service.apply(read_configuration(demo_tenant.WORKFLOWS))
        finally:
            await service.close()

    async def _send_demo_traffic(self) -> None:
        async with Publisher(self._endpoints.redis_url) as publisher:
            await demo_tenant.send_traffic(publisher, self._stop)

    def _state(self) -> DriverState:
        return DriverState(
            not_ready_reason=self._leader.not_ready_reason,
            standby=not self._leader.is_active,
        )

    def _leader_reason(self) -> str | None:
        return self._leader.not_ready_reason

    def _describe(self) -> dict[str, object] | None:
        if self._leader.standby_reason is not None:
            return None  # the active instance sends the supervisor's heartbeat
        return {
            "ready": self._leader.not_ready_reason is None,
            "not_ready_reason": self._leader.not_ready_reason,
            "consumers": min(self._settings.consumers, self._streams),
            "shards": self._settings.shards,
            "api_processes": 0 if self._api is None else 1,
            "workers": self._settings.workers,
            "api_url": self._urls.api,
            "metrics_url": self._urls.metrics,
        }

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, self._on_signal, number)

    def _on_signal(self, number: signal.Signals) -> None:
        if self._stop.is_set():
            end_immediately(self._environment.cluster, number)
        self._console.stopping(f"on {number.name}: finishing what is in flight")
        self._stop.set()
