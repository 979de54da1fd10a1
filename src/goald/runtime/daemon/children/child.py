"""A child process that runs a module, with two pipes: messages to it, and its signs of life."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from goald.runtime.embedded import launch

_MAX_REPORT_BYTES = 65_536


class ChildProcess:
    """A process that ends with this one, even after kill -9. Must be created on the main thread,
    because the kernel ends the process when the thread that started it ends. Settings and secrets
    are sent over a pipe, because every user can read the arguments of a process."""

    def __init__(self, module: str, pass_fds: Sequence[int] = ()) -> None:
        """`pass_fds`: the open files that it inherits. Raises OSError."""
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-I", "-S", launch.__file__),
                *(str(os.getpid()), str(int(signal.SIGKILL))),
                *(sys.executable, "-P", "-m", module),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=pass_fds,
            start_new_session=True,  # Ctrl-C in the terminal does not reach it
            bufsize=0,
        )
        for pipe in (self._process.stdin, self._process.stdout):
            os.set_blocking(_fd(pipe), False)

    def poll(self) -> int | None:
        """How it ended: the exit code, or the signal as a negative number; None if it runs."""
        return self._process.poll()

    def terminate(self) -> None:
        """Ask it to finish what is in progress and to end."""
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

    def send(self, line: bytes) -> None:
        """Send a message. Does nothing if the process does not read or has ended: a later check
        sees that."""
        try:
            os.write(_fd(self._process.stdin), line)
        except (BlockingIOError, BrokenPipeError):
            return

    def received(self) -> bytes:
        """The bytes that the process has written since the last call."""
        try:
            return os.read(_fd(self._process.stdout), _MAX_REPORT_BYTES)
        except BlockingIOError:
            return b""


def how_it_ended(code: int) -> str:
    """The end of a process, as the end of a sentence. `code`: as `ChildProcess.poll` returns it."""
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"


def _fd(pipe: Any) -> int:
    return int(pipe.fileno())
