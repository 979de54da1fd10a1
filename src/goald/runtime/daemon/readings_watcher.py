"""Reads the state of the instance every second, for the console and /metrics."""

import asyncio
import re
from collections.abc import Callable

from goald.domain.errors import ServiceUnavailable, StartError
from goald.ports.process_registry import Readings, ReadingsSource
from goald.runtime.daemon.console import ServeConsole
from goald.runtime.daemon.environment import ServiceEnvironment
from goald.runtime.heartbeat.rates import RateWindow
from goald.runtime.heartbeat.readiness import not_ready_reasons

INTERVAL_SECONDS = 1.0


class LatestReadings:
    """The latest readings. May be read from any thread."""

    def __init__(self, readings: Readings) -> None:
        self._readings = readings

    def get(self) -> Readings:
        return self._readings

    def replace(self, readings: Readings) -> None:
        self._readings = readings


class ReadingsWatcher:
    """Keeps `latest` up to date, and reports each new problem to the console once."""

    def __init__(
        self,
        source: ReadingsSource,
        latest: LatestReadings,
        environment: ServiceEnvironment,
        leader_reason: Callable[[], str | None],
        console: ServeConsole,
    ) -> None:
        """`leader_reason` returns why the actors of this instance do not all run, or None."""
        self._source = source
        self._latest = latest
        self._environment = environment
        self._leader_reason = leader_reason
        self._console = console
        self._window = RateWindow()
        self._reported: set[str] = set()
        self._is_started = False

    def started(self) -> None:
        """The instance has started: show its state from now on. Before, the console shows the
        steps of the start, and an instance that is not ready is expected."""
        self._is_started = True

    async def run(self) -> None:
        """Read every second until cancelled. Raises StartError if an embedded server ended."""
        while True:
            self._check_embedded_servers()
            reasons = await self._read()
            for reason in reasons:
                if _without_duration(reason) not in self._reported:
                    self._console.problem(reason)
            self._reported = {_without_duration(reason) for reason in reasons}
            await asyncio.sleep(INTERVAL_SECONDS)

    async def _read(self) -> list[str]:
        try:
            readings = await self._source.readings()
        except ServiceUnavailable as error:
            return [str(error)]
        self._latest.replace(readings)
        if not self._is_started or self._leader_reason() is not None:
            return []  # the console shows the steps, or the leader runner reports the reason
        self._console.tick(self._window.add(readings))
        return not_ready_reasons(readings.heartbeats, readings.at)

    def _check_embedded_servers(self) -> None:
        ended = self._environment.ended_servers()
        if ended:
            raise StartError(
                f"The embedded {' and '.join(ended)} ended unexpectedly. "
                f"See the logs in {self._environment.log_dir}."
            )


def _without_duration(reason: str) -> str:
    """The reason without its growing number of seconds, which does not make it a new one."""
    return re.sub(r"\d+ s\b", "", reason)
