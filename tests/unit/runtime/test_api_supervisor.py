"""The supervisor of the API process."""

import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from goald.runtime.daemon.api_link import DriverState
from goald.runtime.daemon.api_supervisor import STABLE_SECONDS, ApiSupervisor
from goald.runtime.heartbeat.rates import Snapshot
from goald.runtime.instance import Instance
from goald.settings import Settings


class RecordingConsole:
    """A `ServeConsole` that keeps the problems."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def step(self, text: str) -> None: ...
    def ready(self, instance: Instance) -> None: ...
    def tick(self, snapshot: Snapshot) -> None: ...
    def stopping(self, text: str) -> None: ...

    def problem(self, text: str) -> None:
        self.problems.append(text)


@contextmanager
def no_more_open_files() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def state() -> DriverState:
    raise AssertionError("no process asks for the state")


async def test_a_spare_process_that_cannot_start_does_not_end_the_daemon() -> None:
    """The API that runs does not need it."""
    console = RecordingConsole()
    with socket.socket() as listen_socket:
        supervisor = ApiSupervisor(Settings(), listen_socket, None, state, console)
        with no_more_open_files():
            assert supervisor._start_spare(100.0) == 100.0 + STABLE_SECONDS
    assert len(console.problems) == 1
    assert "Cannot start the spare API process: [Errno 24]" in console.problems[0]
