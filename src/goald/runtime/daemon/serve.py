"""The daemon: what `goald serve` runs, from the first check to the last acknowledgement."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import FrameType
from typing import Any

import uvloop
from prometheus_client import CollectorRegistry

from goald.api.app import create_app
from goald.client import Publisher
from goald.configuration.file import read_configuration
from goald.domain.errors import ServiceUnavailable, StartError
from goald.ports.process_registry import Readings
from goald.runtime import instance as instances
from goald.runtime.actors.ray_cluster import RayCluster
from goald.runtime.daemon.console import ServeConsole
from goald.runtime.daemon.environment import (
    ServiceEnvironment,
    embedded_environment,
    external_environment,
)
from goald.runtime.daemon.leader_runner import LeaderRunner
from goald.runtime.demo import tenant as demonstration
from goald.runtime.heartbeat.exporter import Exporter, ReadingsCollector
from goald.runtime.heartbeat.rates import RateWindow
from goald.runtime.heartbeat.readiness import not_ready_reasons
from goald.runtime.heartbeat.reporter import HeartbeatReporter
from goald.runtime.http.server import ApiServer, api_socket
from goald.runtime.instance import Instance
from goald.runtime.jobs.stream_count_watcher import StreamCountWatcher
from goald.runtime.wiring.api import HOW_TO_CHECK_TOKENS, api_dependencies
from goald.runtime.wiring.daemon import (
    Endpoints,
    configuration_service,
    leader_election,
    process_registry,
    retention,
    system_clock,
    trimming,
)
from goald.settings import Settings

TICK_SECONDS = 1.0
METRICS_PORT = 9464
STOP_SECONDS = 23.0
"""For the API and the actors; the rest of the 25 s is for what they ran on (D7)."""


class Latest:
    """The latest readings, for whoever asks from whichever thread."""

    def __init__(self) -> None:
        self.readings = Readings(at=datetime.now(UTC))

    def get(self) -> Readings:
        return self.readings


def serve(settings: Settings, *, embedded: bool, demo: bool, console: ServeConsole) -> int:
    """Run until SIGTERM or SIGINT; then read no more, finish what is under way, and return 0,
    within 25 s (D7); 1 if something was left to be read again. A second signal ends the
    process at once.

    Blocks, on the main thread. Raises GoaldError where it cannot start; what was started by
    then is stopped again.
    """
    latest = Latest()
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ReadingsCollector(latest.get))
    port = settings.metrics_port
    if port is None:
        port = 0 if embedded else METRICS_PORT
    leaving = _LeaveTheStart()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leaving)
    try:
        with (
            contextlib.suppress(SystemExit),  # of the lines above, or of Ray's own for SIGTERM
            Exporter(settings.metrics_host, port, registry) as exporter,
            _api_socket(settings, embedded=embedded) as (taken, api_url),
            (embedded_environment if embedded else external_environment)(
                settings, console
            ) as ground,
        ):
            console.step("starting Ray")
            try:
                ground.cluster.start(ground.record)
                urls = Urls(exporter.url, api_url)
                daemon = _Daemon(ground, latest, urls, embedded, demo, console, registry)
                if taken is not None:
                    daemon.serve_api(taken, registry)
                return _plainly(lambda: uvloop.run(daemon.run()))
            finally:
                for number in (signal.SIGTERM, signal.SIGINT):
                    signal.signal(number, lambda sent, _: end_at_once(ground.cluster, sent))
                ground.cluster.stop()
    except Exception:
        if not leaving.asked:  # else what the signal broke off says so in its own way
            raise
    return 0


@contextlib.contextmanager
def _api_socket(
    settings: Settings, *, embedded: bool
) -> Iterator[tuple[socket.socket | None, str | None]]:
    """None where tokens could not be checked: --embedded makes a secret, who has its own
    services must set how."""
    if settings.tokens is None and not (embedded and settings.jwt_algorithm == "HS256"):
        yield None, None
        return
    with api_socket(settings, embedded=embedded) as (taken, url):
        yield taken, url


def _plainly(run: Callable[[], int]) -> int:
    """Raise the error that ended the tasks of a group, and not the group."""
    try:
        return run()
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None


def end_at_once(cluster: RayCluster, number: int) -> None:
    """End this process and all below it, finishing nothing. Embedded services are told of it by
    the kernel, and end as after any kill."""
    cluster.kill()
    os._exit(128 + number)


class _LeaveTheStart:
    """On a signal before there is an event loop: stop what was started by then (D7)."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        self.asked = True
        signal.signal(number, signal.SIG_DFL)
        signal.alarm(0)  # Ray's handler, where it came first, aborts the process 3 s later
        raise SystemExit(0)


@dataclass(frozen=True, slots=True)
class Urls:
    """Where the daemon listens. `api` is None where the API is not served."""

    metrics: str
    api: str | None


class _Daemon:
    """The part that runs in an event loop."""

    def __init__(
        self,
        ground: ServiceEnvironment,
        latest: Latest,
        urls: Urls,
        embedded: bool,
        demo: bool,
        console: ServeConsole,
        registry: CollectorRegistry,
    ) -> None:
        self._ground = ground
        self._settings = ground.settings
        self._embedded = embedded
        self._demo = demo
        self._console = console
        self._endpoints = Endpoints(
            redis_url=self._settings.redis.url,
            postgres_dsn=self._settings.postgres.dsn,
            log_level=self._settings.log_level,
            log_format=self._settings.log_format,
            dead_bytes=self._settings.dead_bytes,
            log_dir=str(ground.log_dir) if ground.log_dir else None,
        )
        self._acting: LeaderRunner
        self._streams: int
        self._registry = registry
        self._board = process_registry(self._endpoints)
        self._latest = latest
        self._urls = urls
        self._api: ApiServer | None = None
        self._stop = asyncio.Event()

    def serve_api(self, taken: socket.socket, registry: CollectorRegistry) -> None:
        """Serve the API too, on a socket that listens. `registry`: what /metrics serves."""
        parts = api_dependencies(
            self._settings, registry=registry, not_ready_reasons=self._troubles
        )
        self._api = ApiServer(create_app(parts), taken)

    async def run(self) -> int:
        """Start everything, watch it until a signal, and stop it."""
        self._listen_to_signals()
        self._streams = await self._board.ensure_stream_count(self._settings.streams)
        self._acting = LeaderRunner(
            self._ground,
            self._endpoints,
            self._streams,
            leader_election(self._endpoints),
            self._console,
            self._listen_to_signals,
        )
        beating = HeartbeatReporter(
            "supervisor", 0, processes=self._board, clock=system_clock(), describe=self._describe
        )
        try:
            if self._api is not None:
                await self._api.start()  # before it is ready: it says so itself
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(work) for work in self._works_from_the_start()]
                if await self._is_ready_before_the_stop():
                    if self._demo:
                        await self._configure_demo()
                    await beating.send()
                    self._tell_where_it_is()
                    running += [tasks.create_task(work) for work in self._works(beating)]
                    await self._stop.wait()
                for task in running:
                    task.cancel()
        finally:
            drained = await self._finish()
            if self._embedded:
                instances.remove(self._settings.data_dir)
            await beating.remove()
            await beating.close()
            if not drained:
                self._console.problem(
                    "not everything was finished in time; it is read again at the next start"
                )
        return 0 if drained else 1

    async def _finish(self) -> bool:
        """Answer the requests under way, while there are shards to answer for; then let the
        actors finish (D7). Whether they did in time. Without what they stand on they cannot."""
        if self._ground.failed():
            return False
        loop = asyncio.get_running_loop()
        deadline = loop.time() + STOP_SECONDS
        if self._api is not None:
            await self._api.stop()
        return await self._acting.stop(within=deadline - loop.time())

    async def _is_ready_before_the_stop(self) -> bool:
        waits = {asyncio.ensure_future(event.wait()) for event in (self._acting.ready, self._stop)}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return not self._stop.is_set()

    def _tell_where_it_is(self) -> None:
        instance = Instance(
            redis_url=self._endpoints.redis_url,
            postgres_dsn=self._endpoints.postgres_dsn,
            pid=os.getpid(),
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            api_url=self._urls.api,
            metrics_url=self._urls.metrics,
            data_dir=str(self._settings.data_dir) if self._embedded else None,
        )
        if self._embedded:
            instances.write(self._settings.data_dir, instance)
        self._console.ready(instance)
        if self._api is None:
            self._console.problem(
                f"the API is not served, since it cannot check tokens: {HOW_TO_CHECK_TOKENS}"
            )

    def _works_from_the_start(self) -> list[Coroutine[Any, Any, None]]:
        """What goes on until it is cancelled; the first of them that fails ends the daemon."""
        counting = StreamCountWatcher(self._board, self._streams, system_clock())
        works = [self._acting.run(), self._watch(), counting.run()]
        if self._api is not None:
            works.append(self._api.run())
        return works

    def _works(self, beating: HeartbeatReporter) -> list[Coroutine[Any, Any, None]]:
        """The same, once everything is there."""
        months = retention(self._endpoints.postgres_dsn, self._settings.retention)
        trims = trimming(self._endpoints.redis_url, self._settings.keep, self._registry)
        works = [beating.run(), months.run(), trims.run()]
        if self._demo:
            works.append(self._make_traffic())
        return works

    async def _configure_demo(self) -> None:
        self._console.step("configuring the demo's workflows")
        service = configuration_service(self._settings.postgres.api_dsn, self._endpoints.redis_url)
        try:
            await service.apply(read_configuration(demonstration.WORKFLOWS))
        finally:
            await service.close()

    async def _make_traffic(self) -> None:
        async with Publisher(self._endpoints.redis_url) as publisher:
            await demonstration.traffic(publisher, self._stop)

    async def _watch(self) -> None:
        """Read how everything is, each second, and tell the console."""
        window = RateWindow()
        troubles: list[str] = []
        while True:
            failed = self._ground.failed()
            if failed:
                raise StartError(
                    f"{' and '.join(failed)} ended by itself: its log is in {self._ground.log_dir}"
                )
            try:
                readings = self._latest.readings = await self._board.readings()
                found = []
                if self._acting.ready.is_set():  # else it is told of elsewhere, or is another's
                    found = not_ready_reasons(readings.heartbeats, readings.at)
                    self._console.tick(window.add(readings))
            except ServiceUnavailable as error:
                found = [str(error)]
            for not_ready_reason in found:
                if not_ready_reason not in troubles:
                    self._console.problem(not_ready_reason)
            troubles = found
            await asyncio.sleep(TICK_SECONDS)

    def _troubles(self) -> list[str]:
        """Why the instance is not ready, judged now: where Redis is away, what was last read
        grows old."""
        if (not_ready_reason := self._acting.not_ready_reason) is not None:
            return [not_ready_reason]
        readings = replace(self._latest.get(), at=datetime.now(UTC))
        return not_ready_reasons(readings.heartbeats, readings.at)

    def _describe(self) -> dict[str, object] | None:
        if self._acting.stands_by is not None:
            return None  # the board tells of the instance that acts
        return {
            "ready": self._acting.not_ready_reason is None,
            "not_ready_reason": self._acting.not_ready_reason,
            "consumers": min(self._settings.consumers, self._streams),
            "shards": self._settings.shards,
            "api_url": self._urls.api,
            "metrics_url": self._urls.metrics,
        }

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)

    def _on_signal(self, number: signal.Signals) -> None:
        if self._stop.is_set():
            end_at_once(self._ground.cluster, number)
        self._console.stopping(f"on {number.name}: finishing what is under way")
        self._stop.set()
