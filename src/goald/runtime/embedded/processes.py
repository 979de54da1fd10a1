"""Which processes this run has started, kept on disk for the run after it.

A process is known by its id and its start time together: an id alone is soon another's.
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
    """When a process started, as an opaque text to compare; None where it is gone or a zombie.

    On Linux the ticks since boot with the boot's id, which no change of the clock moves.
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
    """One process that a run has started."""

    role: str
    pid: int
    started: str
    """What `start_time_of` said."""
    stop_signal: int
    """The signal that asks it to end."""

    def is_alive(self) -> bool:
        """Whether this very process still runs, not another that was given its id."""
        return start_time_of(self.pid) == self.started

    def send(self, signal_number: int) -> None:
        """Signal it if it is alive; nothing otherwise."""
        if self.is_alive():
            try:
                os.kill(self.pid, signal_number)
            except ProcessLookupError:
                return


class ProcessRecord:
    """The file `run/processes.json`: what was started and is to be ended.

    For one writer at a time, the holder of the data directory's lock.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._processes = {process.pid: process for process in _read(path)}

    def add(self, role: str, pid: int, stop_signal: int = signal.SIGTERM) -> None:
        """Record a process that has just been started. Nothing where it has already ended.

        Written before it returns; OSError where that fails.
        """
        started = start_time_of(pid)
        if started is not None:
            self._processes[pid] = RecordedProcess(role, pid, started, int(stop_signal))
            self._write()

    def remove(self, pid: int) -> None:
        """Forget a process that has ended."""
        if self._processes.pop(pid, None) is not None:
            self._write()

    def processes(self) -> list[RecordedProcess]:
        """All that is recorded, in the order in which it was started, alive or not."""
        return list(self._processes.values())

    def end_all(self, grace_s: float = 10.0) -> list[RecordedProcess]:
        """End everything recorded that is alive, and forget all. Blocks, at most `grace_s`
        and a little more. Returns what was alive."""
        alive = [process for process in self.processes() if process.is_alive()]
        end(alive, grace_s)
        self._processes.clear()
        self._write()
        return alive

    def _write(self) -> None:
        text = json.dumps([asdict(process) for process in self.processes()], indent=1)
        beside = self._path.with_suffix(".new")
        beside.write_text(text + "\n")
        beside.replace(self._path)


def end(processes: Iterable[RecordedProcess], grace_s: float) -> None:
    """Ask each process to end by its own signal; kill those that have not within `grace_s`.

    Returns when none is alive, or 5 s after the kill (a process in an uninterruptible wait).
    """
    waiting = list(processes)
    for process in waiting:
        process.send(process.stop_signal)
    waiting = _wait(waiting, grace_s)
    for process in waiting:
        process.send(signal.SIGKILL)
    _wait(waiting, 5.0)


def _wait(processes: list[RecordedProcess], seconds: float) -> list[RecordedProcess]:
    """Those that are still alive once all have ended or the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        processes = [process for process in processes if process.is_alive()]
        if not processes or time.monotonic() >= deadline:
            return processes
        time.sleep(_POLL_S)


def _read(path: Path) -> list[RecordedProcess]:
    """What the file holds; nothing where there is none or a crash left it unreadable."""
    try:
        return [RecordedProcess(**entry) for entry in json.loads(path.read_text())]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError):
        return []
