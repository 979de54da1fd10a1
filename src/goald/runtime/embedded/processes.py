"""The processes that this run has started, stored for the next run.

A process is identified by its id and its start time, because ids are reused.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

_POLL_S = 0.02


def start_time_of(pid: int) -> str | None:
    """The start time of a process as an opaque text to compare; None if the process does not
    exist or is a zombie.

    On Linux it is the ticks since boot with the boot id, which do not depend on the clock.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        if sys.platform != "linux":
            return f"{process.create_time():.6f}"
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except (psutil.Error, OSError):
        return None
    return f"{boot}:{fields[19]}"  # field 22 of the line, the 20th after the name


@dataclass(frozen=True)
class RecordedProcess:
    """A process that a run has started."""

    role: str
    pid: int
    started: str
    """The start time, as `start_time_of` returns it."""
    stop_signal: int
    """The signal that asks the process to end."""

    def is_alive(self) -> bool:
        """Whether this process still runs, and not another with the same id."""
        return start_time_of(self.pid) == self.started

    def send(self, signal_number: int) -> None:
        """Signal the process if it is alive."""
        if self.is_alive():
            try:
                os.kill(self.pid, signal_number)
            except ProcessLookupError:
                return


class ProcessRecord:
    """The file `run/processes.json`: the processes that were started and must be ended.

    Only the holder of the data directory's lock may write it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._processes = {process.pid: process for process in _read(path)}

    def add(self, role: str, pid: int, stop_signal: int = signal.SIGTERM) -> None:
        """Record a process that was just started. Does nothing if it has already ended.

        The file is written before this returns. Raises OSError.
        """
        started = start_time_of(pid)
        if started is not None:
            self._processes[pid] = RecordedProcess(role, pid, started, int(stop_signal))
            self._write()

    def remove(self, pid: int) -> None:
        """Remove a process that has ended from the record."""
        if self._processes.pop(pid, None) is not None:
            self._write()

    def processes(self) -> list[RecordedProcess]:
        """All recorded processes in the order of their starts, alive or not."""
        return list(self._processes.values())

    def end_all(self, grace_s: float = 10.0) -> list[RecordedProcess]:
        """End all recorded processes and clear the record. Blocks for about `grace_s` at most.
        Returns the processes that were alive."""
        alive = [process for process in self.processes() if process.is_alive()]
        end(alive, grace_s)
        self._processes.clear()
        self._write()
        return alive

    def _write(self) -> None:
        text = json.dumps([asdict(process) for process in self.processes()], indent=1)
        temporary = self._path.with_suffix(".new")
        temporary.write_text(text + "\n")
        temporary.replace(self._path)


def end(processes: Iterable[RecordedProcess], grace_s: float) -> None:
    """Send each process its stop signal, and kill those that do not end within `grace_s`.

    Returns when none is alive, or 5 s after the kill if one is in an uninterruptible wait.
    """
    waiting = list(processes)
    for process in waiting:
        process.send(process.stop_signal)
    waiting = _wait(waiting, grace_s)
    for process in waiting:
        process.send(signal.SIGKILL)
    _wait(waiting, 5.0)


def _wait(processes: list[RecordedProcess], seconds: float) -> list[RecordedProcess]:
    """Wait until all have ended or the time is over. Returns those that are alive."""
    deadline = time.monotonic() + seconds
    while True:
        processes = [process for process in processes if process.is_alive()]
        if not processes or time.monotonic() >= deadline:
            return processes
        time.sleep(_POLL_S)


def _read(path: Path) -> list[RecordedProcess]:
    """The processes in the file; none if it is missing or was damaged by a crash."""
    try:
        return [RecordedProcess(**entry) for entry in json.loads(path.read_text())]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError):
        return []
