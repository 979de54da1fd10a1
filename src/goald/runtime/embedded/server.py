"""A server process that ends with this process, writes to a log file, and is recorded."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from goald.domain.errors import StartError
from goald.runtime.embedded import launch
from goald.runtime.embedded.data_dir import DataDirectory
from goald.runtime.embedded.identity import Identity

_LOG_BYTES = 16 << 20
_TAIL_BYTES = 4_000
_POLL_S = 0.01


class EmbeddedServer:
    """A running server. Its log is `logs/{role}.log` of the data directory."""

    def __init__(
        self,
        data: DataDirectory,
        role: str,
        command: Sequence[str | Path],
        *,
        stop_signal: signal.Signals,
        cwd: Path,
        identity: Identity,
    ) -> None:
        """Start the server in its own session, so that Ctrl-C in the terminal does not reach it.
        Raises OSError."""
        self._data = data
        self._role = role
        self._stop_signal = stop_signal
        log = data.logs / f"{role}.log"
        _rotate(log)
        self._log = log
        self._log_start = log.stat().st_size if log.exists() else 0
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                identity.command(ending_with_this_process(command, stop_signal)),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=service_environment(),
                start_new_session=True,
                user=identity.user,
                group=identity.group,
                extra_groups=[] if identity.user is not None else None,
            )
        data.record.add(role, self._process.pid, stop_signal)

    def is_running(self) -> bool:
        """Whether the process is running."""
        return self._process.poll() is None

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        """Block until `ready()` returns true. Raises StartError with the end of the log if the
        process ends first, or the time is over."""
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.is_running():
                raise StartError(f"The embedded {self._role} ended while starting.\n{self.tail()}")
            if time.monotonic() >= deadline:
                reason = f"was not ready within {seconds:.0f} s"
                raise StartError(f"The embedded {self._role} {reason}.\n{self.tail()}")
            time.sleep(_POLL_S)

    def tail(self) -> str:
        """The path of the log and its last lines, of this process only."""
        with self._log.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_start, end - _TAIL_BYTES))
            text = log.read().decode(errors="replace").strip()
        return f"From {self._log}:\n{text}"

    def stop(self, grace_s: float) -> None:
        """Send the stop signal, and kill the process after `grace_s`. Does nothing if it has
        ended."""
        if self.is_running():
            self._process.send_signal(self._stop_signal)
            try:
                self._process.wait(grace_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._data.record.remove(self._process.pid)


def ending_with_this_process(command: Sequence[str | Path], stop: signal.Signals) -> list[str]:
    """The command line that runs `command` and sends it `stop` when this process ends (Linux)."""
    launcher = (sys.executable, "-I", "-S", launch.__file__, str(os.getpid()), str(int(stop)))
    return [*launcher, *map(str, command)]


def service_environment() -> dict[str, str]:
    """The environment without variables that change what a server or psql does."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))
    }
    return environment | {"LC_ALL": "C"}


def _rotate(log: Path) -> None:
    """Rotates the log: a file larger than 16 MiB is renamed to `.log.1`, replacing the previous
    one."""
    if log.exists() and log.stat().st_size > _LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
