"""A child process for the API: `process` on the socket of the driver."""

import socket
from pathlib import Path
from typing import Final

from goald.runtime.daemon.api.link import ApiStart, DriverState
from goald.runtime.daemon.children.child import ChildProcess
from goald.settings import Settings

_MODULE: Final = "goald.runtime.daemon.api.process"


class ApiChild(ChildProcess):
    """A process that prepares to serve when it is created, and serves from the first `send_state`
    on."""

    def __init__(
        self, settings: Settings, listen_socket: socket.socket, log_dir: Path | None
    ) -> None:
        super().__init__(_MODULE, [listen_socket.fileno()])
        start = ApiStart(settings, listen_socket.fileno(), str(log_dir) if log_dir else None)
        self.send(start.encode())

    def send_state(self, state: DriverState) -> None:
        """Send a state, as `send` does."""
        self.send(state.encode())
