"""The API of `goald serve` in its own process: started on a socket that is already bound, watched,
and restarted (docs/decisions/0033)."""

import asyncio
import math
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

from goald.domain.errors import StartError
from goald.runtime.daemon.api.child import ApiChild
from goald.runtime.daemon.api.link import DriverState
from goald.runtime.daemon.api.spare import SpareApi
from goald.runtime.daemon.children.backoff import STABLE_SECONDS, Backoff
from goald.runtime.daemon.children.child import how_it_ended
from goald.runtime.daemon.children.liveness import Liveness
from goald.runtime.daemon.console import ServeConsole
from goald.settings import Settings

CHECK_SECONDS: Final = 0.1
STATE_SECONDS: Final = 1.0
START_SECONDS: Final = 120.0
"""How long a process may take to prepare, also if the API waits for it."""
TAKEOVER_SECONDS: Final = 3.0
"""How long the spare process may show no sign of life from its takeover on, until it has shown that
it is prepared."""
SPARE_SECONDS: Final = 10.0
"""How long the API has been ready before the spare process starts, which competes with the start of
the actors."""
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
        self._process: ApiChild | None = None
        self._spare: SpareApi | None = None
        """Holds its imports and its application, and waits for its first state to serve: a start
        takes two seconds of processor time."""
        self.ready = asyncio.Event()
        """Set once requests are accepted for the first time."""

    async def run(self) -> None:
        """Run until cancelled, which leaves the process running. Must run on the main thread,
        because the kernel ends the process when the thread that started it ends. Raises
        StartError if the process ends before it was ready for the first time."""
        loop = asyncio.get_running_loop()
        backoff = Backoff()
        while True:
            started_at = loop.time()
            process, patience = self._start(started_at)
            reason = await self._watch(process, patience)
            if not self.ready.is_set():
                raise StartError(f"The API process {reason} while starting. {self._where()}")
            self._console.problem(f"Restarting the API: its process {reason}. {self._where()}")
            await asyncio.sleep(backoff.pause(loop.time() - started_at))

    async def stop(self) -> None:
        """Accept no more connections, and return when the requests in progress are answered,
        within STOP_SECONDS; requests that take longer are cut off."""
        self._socket.close()
        if self._spare is not None:
            self._spare.end()
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
        process.wait()
        self._process = self._spare = None

    def _start(self, now: float) -> tuple[ApiChild, float]:
        """The spare process if it is alive, else a new one, and for how long it may show no sign
        of life until it is prepared."""
        spare, self._spare = self._spare, None
        alive = spare.take(now) if spare is not None else None
        self._process = alive if alive is not None else self._child()
        return self._process, START_SECONDS if alive is None else TAKEOVER_SECONDS

    def _child(self) -> ApiChild:
        return ApiChild(self._settings, self._socket, self._log_dir)

    async def _watch(self, process: ApiChild, silence: float) -> str:
        """Send the process the state of the driver until it ends. Returns how it ended; kills it
        if it hangs. `silence`: for how many seconds it may show no sign of life until it is
        prepared. Starts the spare process once this one is stable."""
        loop = asyncio.get_running_loop()
        liveness = Liveness(process, loop.time(), silence=silence, preparation=START_SECONDS)
        spare_at = math.inf
        sent: tuple[DriverState, float] | None = None
        while (code := process.poll()) is None:
            if (hung_for := liveness.hung_for(loop.time())) is not None:
                process.kill()
                await asyncio.to_thread(process.wait)
                return f"hung for {hung_for:.0f} s"
            if spare_at == math.inf and liveness.is_ready:
                spare_at = loop.time() + SPARE_SECONDS
                self.ready.set()
            state = self._state()
            if sent is None or sent[0] != state or loop.time() - sent[1] >= STATE_SECONDS:
                sent = state, loop.time()
                process.send_state(state)
            spare_at = self._check_spare(loop.time(), spare_at)
            await asyncio.sleep(CHECK_SECONDS)
        process.wait()
        return how_it_ended(code)

    def _check_spare(self, now: float, due_at: float) -> float:
        """Start the spare process if it is due, and end it if it hangs. Returns when the next
        one is due: immediately after a hang, and later after an end, which may recur."""
        if self._spare is None:
            return self._start_spare(now) if now >= due_at else due_at
        has_ended = self._spare.has_ended()
        if not has_ended and not self._spare.hangs(now):
            return due_at
        self._spare.end()
        self._spare = None
        return now + STABLE_SECONDS if has_ended else now

    def _start_spare(self, now: float) -> float:
        """Start the spare process. Returns when to try again if there is none then."""
        try:
            self._spare = SpareApi(self._child(), now)
        except OSError as error:  # a limit on processes, memory or open files
            self._console.problem(f"Cannot start the spare API process: {error}")
        return now + STABLE_SECONDS

    def _where(self) -> str:
        if self._log_dir is None:
            return "See its log on standard error."
        return f"See {self._log_dir / 'api.log'}."
