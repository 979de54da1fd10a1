"""The API of `goald serve` in its own process: started on a socket that is already bound, watched,
and restarted (docs/decisions/0033)."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from goald.domain.errors import StartError
from goald.runtime.daemon.api_link import READY, ApiStart, DriverState
from goald.runtime.daemon.console import ServeConsole
from goald.runtime.embedded import launch
from goald.settings import Settings

CHECK_SECONDS: Final = 0.1
STATE_SECONDS: Final = 1.0
HANG_SECONDS: Final = 10.0
"""Without a sign of life for this long, a hanging process is replaced like a dead process (D12)."""
START_SECONDS: Final = 120.0
"""How long the process may take to its first sign of life."""
BACKOFF_SECONDS: Final = (0.0, 0.25, 0.5, 1.0, 2.0)
STABLE_SECONDS: Final = 30.0
"""After running for this long, the next restart is immediate again."""
STOP_SECONDS: Final = 8.0
"""The API answers requests in progress for up to 7 s (`runtime.http.server`)."""


class ApiSupervisor:
    """Runs the API process until it is stopped. The process ends with this one, even after
    kill -9. Connections wait in the backlog of the socket while there is no process."""

    def __init__(
        self,
        settings: Settings,
        listen_socket: socket.socket,
        log_dir: Path | None,
        state: Callable[[], DriverState],
        console: ServeConsole,
    ) -> None:
        """`log_dir`: the directory of the log `api.log`; None for standard error. `state`: what
        the API reports about this instance; it is sent every second and after each change."""
        self._settings = settings
        self._socket = listen_socket
        self._log_dir = log_dir
        self._state = state
        self._console = console
        self._process: subprocess.Popen[bytes] | None = None
        self.ready = asyncio.Event()
        """Set once requests are accepted for the first time."""

    async def run(self) -> None:
        """Run until cancelled, which leaves the process running. Must run on the main thread,
        because the kernel ends the process when the thread that started it ends. Raises
        StartError if the process ends before it was ready for the first time."""
        loop = asyncio.get_running_loop()
        attempts = 0
        while True:
            started_at = loop.time()
            process = self._start()
            reason = await self._watch(process)
            if not self.ready.is_set():
                raise StartError(f"The API process {reason} while starting. {self._where()}")
            attempts = 0 if loop.time() - started_at >= STABLE_SECONDS else attempts + 1
            self._console.problem(f"Restarting the API: its process {reason}. {self._where()}")
            await asyncio.sleep(BACKOFF_SECONDS[min(attempts, len(BACKOFF_SECONDS)) - 1])

    async def stop(self) -> None:
        """Accept no more connections, and return when the requests in progress are answered,
        within STOP_SECONDS; requests that take longer are cut off."""
        self._socket.close()
        process = self._process
        if process is None:
            return
        process.terminate()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + STOP_SECONDS
        while process.poll() is None:
            if loop.time() >= deadline:
                process.kill()
            await asyncio.sleep(CHECK_SECONDS / 4)
        _close_pipes(process)
        self._process = None

    def _start(self) -> subprocess.Popen[bytes]:
        start = ApiStart(
            settings=self._settings,
            listen_fd=self._socket.fileno(),
            log_dir=str(self._log_dir) if self._log_dir is not None else None,
        )
        process = subprocess.Popen(
            [
                *(sys.executable, "-I", "-S", launch.__file__),
                *(str(os.getpid()), str(int(signal.SIGKILL))),
                *(sys.executable, "-P", "-m", "goald.runtime.daemon.api_process"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[self._socket.fileno()],
            start_new_session=True,  # Ctrl-C in the terminal does not reach it
            bufsize=0,
        )
        self._process = process
        for pipe in (process.stdin, process.stdout):
            os.set_blocking(_fd(pipe), False)
        _send(process, start.encode())
        return process

    async def _watch(self, process: subprocess.Popen[bytes]) -> str:
        """Send the process the state of the driver until it ends. Returns how it ended; kills it
        if it hangs."""
        loop = asyncio.get_running_loop()
        heard_at, patience = loop.time(), START_SECONDS
        sent: tuple[DriverState, float] | None = None
        received = b""
        while (code := process.poll()) is None:
            if found := _receive(process):
                heard_at, patience = loop.time(), HANG_SECONDS
                received = (received + found)[-len(READY) :]
                if received.endswith(READY):
                    self.ready.set()
            if loop.time() - heard_at >= patience:
                process.kill()
                await asyncio.to_thread(process.wait)
                _close_pipes(process)
                return f"hung for {patience:.0f} s"
            state = self._state()
            if sent is None or sent[0] != state or loop.time() - sent[1] >= STATE_SECONDS:
                sent = state, loop.time()
                _send(process, state.encode())
            await asyncio.sleep(CHECK_SECONDS)
        _close_pipes(process)
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"

    def _where(self) -> str:
        if self._log_dir is None:
            return "See its log on standard error."
        return f"See {self._log_dir / 'api.log'}."


def _fd(pipe: Any) -> int:
    return int(pipe.fileno())


def _send(process: subprocess.Popen[bytes], line: bytes) -> None:
    """Send a line. Does nothing if the process does not read or has ended: a later check sees
    that."""
    try:
        os.write(_fd(process.stdin), line)
    except (BlockingIOError, BrokenPipeError):
        return


def _receive(process: subprocess.Popen[bytes]) -> bytes:
    """The bytes that the process has written since the last call."""
    try:
        return os.read(_fd(process.stdout), 65_536)
    except BlockingIOError:
        return b""


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
