"""A real `goald serve` on external servers, as an operator runs it: restarted when it ends.
Its processes are found by its heartbeats."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psutil
import redis

from goald.adapters.redis.process_registry import decode_all
from goald.ports.process_registry import Heartbeat
from goald.redis_keys import PROCESSES

GOALD = (sys.executable, "-m", "goald.cli.main")
RESTART_SECONDS = 1.0
"""The delay of a service manager before a restart."""
STOP_S = 25.0


class DaemonProcess:
    """The daemon with all its processes. A `GoaldProcess` of a `FaultEnvironment`."""

    roles: tuple[str, ...] = ("supervisor:0", "shard:0", "shard:1", "consumer:0")

    def __init__(
        self, redis_url: str, postgres_dsn: str, directory: Path, more: Mapping[str, str]
    ) -> None:
        """`more`: additional environment variables, such as LD_PRELOAD. Does not start it."""
        self._redis_url = redis_url
        self._log = directory / "serve.log"
        self._directory = directory
        inherited = {
            name: value for name, value in os.environ.items() if "GOALD_" not in name.upper()
        }
        self._environment = inherited | {
            "GOALD_REDIS_URL": redis_url,
            "GOALD_POSTGRES_DSN": postgres_dsn,
            "GOALD_DATA_DIR": str(directory / "unused"),
            "GOALD_METRICS_PORT": "0",
            "GOALD_REPUBLISH": "3600",
            "GOALD_LOG_FORMAT": "json",
            **more,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._family: dict[int, psutil.Process] = {}
        self._ended_at = 0.0

    def start(self) -> None:
        """Start the daemon. Does not wait."""
        self._ended_at = 0.0
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [*GOALD, "serve"],
                env=self._environment,
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The id of the driver process."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def restart_if_ended(self) -> None:
        """Restart the daemon RESTART_SECONDS after it has ended."""
        if self._process is None or self.is_running:
            self._ended_at = 0.0
        elif not self._ended_at:
            self._ended_at = time.monotonic()
        elif time.monotonic() - self._ended_at >= RESTART_SECONDS:
            self.start()

    def family(self) -> list[psutil.Process]:
        """Every running process of the daemon: children of the driver, now or at the last call,
        and processes with a heartheartbeat."""
        if self.is_running:
            driver = psutil.Process(self.pid)
            for each in (driver, *driver.children(recursive=True)):
                self._family[each.pid] = each
        for heartbeat in self._heartbeats():
            if heartbeat.pid not in self._family and psutil.pid_exists(heartbeat.pid):
                self._family[heartbeat.pid] = psutil.Process(heartbeat.pid)
        self._family = {pid: each for pid, each in self._family.items() if each.is_running()}
        return list(self._family.values())

    def process_of(self, role: str) -> psutil.Process:
        """The process with this heartbeat, such as `shard:0`."""
        heartbeat = next(each for each in self._heartbeats() if each.field == role)
        return psutil.Process(heartbeat.pid)

    def process_by_name(self, name: str) -> psutil.Process:
        """The process with this name, such as `raylet`."""
        return next(each for each in self.family() if each.name() == name)

    def kill_driver(self) -> None:
        """kill -9 of the driver only, as the kernel does when memory runs out."""
        self.family()
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def kill(self) -> None:
        """kill -9 of all processes. Returns when all have ended."""
        if self._process is None:
            return
        family = self.family()
        for each in family:
            _kill(each)
        self._process.wait()
        psutil.wait_procs(family, timeout=STOP_S)

    def stop(self) -> int | None:
        """SIGTERM. Returns the exit code. Kills all processes after 25 s (D7)."""
        if self._process is None:
            return None
        self.family()
        if self.is_running:
            self._process.send_signal(signal.SIGTERM)
        try:
            code: int | None = self._process.wait(STOP_S + 5)
        except subprocess.TimeoutExpired:
            code = None
        self.kill()
        self._process = None
        return code

    def printed(self) -> str:
        """The end of the output since the first start."""
        return self._log.read_text(errors="replace")[-8_000:] if self._log.exists() else ""

    def _heartbeats(self) -> list[Heartbeat]:
        try:
            with redis.Redis.from_url(self._redis_url, socket_timeout=5) as client:
                return decode_all(client.hvals(PROCESSES))
        except redis.RedisError:
            return []


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return
