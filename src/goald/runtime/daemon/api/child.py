"""A child process for the API: `process` on the socket of the driver, with two pipes."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from goald.runtime.daemon.api.link import ApiStart, DriverState
from goald.runtime.embedded import launch
from goald.settings import Settings

_MAX_REPORT_BYTES = 65_536


class ApiChild:
    """A process that prepares to serve when it is created, serves from the first `send_state` on,
    and ends with this process, even after kill -9. Must be created on the main thread, because the
    kernel ends the process when the thread that started it ends."""

    def __init__(
        self, settings: Settings, listen_socket: socket.socket, log_dir: Path | None
    ) -> None:
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-I", "-S", launch.__file__),
                *(str(os.getpid()), str(int(signal.SIGKILL))),
                *(sys.executable, "-P", "-m", "goald.runtime.daemon.api.process"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[listen_socket.fileno()],
            start_new_session=True,  # Ctrl-C in the terminal does not reach it
            bufsize=0,
        )
        for pipe in (self._process.stdin, self._process.stdout):
            os.set_blocking(_fd(pipe), False)
        start = ApiStart(settings, listen_socket.fileno(), str(log_dir) if log_dir else None)
        self._send(start.encode())

    def poll(self) -> int | None:
        """How it ended: the exit code, or the signal as a negative number; None if it runs."""
        return self._process.poll()

    def terminate(self) -> None:
        """Ask it to answer the requests in progress and to end."""
        self._process.terminate()

    def kill(self) -> None:
        """End it immediately, if it runs."""
        self._process.kill()

    def wait(self) -> None:
        """Block until it has ended, and close its pipes."""
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def send_state(self, state: DriverState) -> None:
        """Send a state. Does nothing if the process does not read or has ended: a later check
        sees that."""
        self._send(state.encode())

    def received(self) -> bytes:
        """The bytes that the process has written since the last call."""
        try:
            return os.read(_fd(self._process.stdout), _MAX_REPORT_BYTES)
        except BlockingIOError:
            return b""

    def _send(self, line: bytes) -> None:
        try:
            os.write(_fd(self._process.stdin), line)
        except (BlockingIOError, BrokenPipeError):
            return


def _fd(pipe: Any) -> int:
    return int(pipe.fileno())
