"""The console shows the state of the instance only after the instance has started."""

import io
from datetime import UTC, datetime
from pathlib import Path

import pytest

from goald.cli.output.serve_console import TerminalConsole
from goald.domain.errors import ServiceUnavailable
from goald.ports.process_registry import Readings
from goald.runtime.actors.ray_cluster import RayCluster
from goald.runtime.daemon import readings_watcher
from goald.runtime.daemon.environment import ServiceEnvironment
from goald.runtime.daemon.readings_watcher import LatestReadings, ReadingsWatcher
from goald.settings import Settings

WITHOUT_HEARTBEATS = Readings(at=datetime(2026, 3, 1, 12, tzinfo=UTC))


class EndOfTestError(Exception):
    pass


class Source:
    """Returns readings without heartbeats twice, or is unavailable."""

    def __init__(self, *, is_available: bool = True) -> None:
        self._is_available = is_available
        self._remaining = 2

    async def readings(self) -> Readings:
        if not self._remaining:
            raise EndOfTestError
        self._remaining -= 1
        if not self._is_available:
            raise ServiceUnavailable("Redis is unreachable")
        return WITHOUT_HEARTBEATS


async def printed(
    monkeypatch: pytest.MonkeyPatch, directory: Path, source: Source, *, started: bool
) -> list[str]:
    """The lines that the console prints while the watcher reads `source`."""
    monkeypatch.setattr(readings_watcher, "INTERVAL_SECONDS", 0)
    out = io.StringIO()
    environment = ServiceEnvironment(
        settings=Settings(),
        cluster=RayCluster(directory, None),
        record=lambda role, pid: None,
        log_dir=None,
        ended_servers=list,
    )
    latest = LatestReadings(WITHOUT_HEARTBEATS)
    console = TerminalConsole(out=out)
    watcher = ReadingsWatcher(source, latest, environment, lambda: None, console)
    if started:
        watcher.started()
    with pytest.raises(EndOfTestError):
        await watcher.run()
    return out.getvalue().splitlines()


async def test_the_state_is_shown_only_after_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert await printed(monkeypatch, tmp_path, Source(), started=False) == []
    status, problem = await printed(monkeypatch, tmp_path, Source(), started=True)
    assert status.startswith("NOT READY | 0 events/s")
    assert problem.startswith("! goald serve is not running")


async def test_an_outage_is_reported_during_the_start_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = Source(is_available=False)
    assert await printed(monkeypatch, tmp_path, source, started=False) == ["! Redis is unreachable"]
