"""The supervisor of the API process."""

import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from goald.runtime.daemon.api.child import ApiChild
from goald.runtime.daemon.api.link import DriverState
from goald.runtime.daemon.api.spare import FRESH_SECONDS, PREPARE_SECONDS, SpareApi
from goald.runtime.daemon.api.supervisor import ApiSupervisor
from goald.runtime.daemon.children.backoff import STABLE_SECONDS
from goald.runtime.daemon.children.liveness import HANG_SECONDS, Liveness
from goald.runtime.daemon.children.signs import ALIVE, PREPARED, READY, STARTING
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


class Spare:
    """A process that sends the bytes in `sent`."""

    def __init__(self) -> None:
        self.sent = b""
        self.code: int | None = None

    def poll(self) -> int | None:
        return self.code

    def received(self) -> bytes:
        sent, self.sent = self.sent, b""
        return sent

    def kill(self) -> None:
        self.code = -9

    def wait(self) -> None:
        assert self.code is not None, "waits for a process that runs"

    def observed(self, now: float) -> SpareApi:
        return SpareApi(cast(ApiChild, self), now)


def test_a_prepared_spare_process_is_used() -> None:
    process = Spare()
    spare = process.observed(0)
    process.sent = PREPARED
    assert not spare.hangs(2)
    process.sent = ALIVE
    assert spare.take(60) is cast(ApiChild, process)
    assert process.poll() is None


def test_a_spare_process_that_still_prepares_is_used() -> None:
    """It serves earlier than a process that has yet to start."""
    process = Spare()
    spare = process.observed(0)
    process.sent = STARTING
    assert not spare.hangs(5)
    assert spare.take(5 + FRESH_SECONDS - 1) is cast(ApiChild, process)
    assert process.poll() is None


def test_a_spare_process_that_stops_while_it_prepares_is_ended_instead_of_used() -> None:
    process = Spare()
    spare = process.observed(0)
    process.sent = STARTING
    assert not spare.hangs(1)
    assert spare.take(1 + FRESH_SECONDS) is None
    assert process.poll() is not None


def test_a_spare_process_without_a_recent_sign_of_life_is_ended_instead_of_used() -> None:
    process = Spare()
    spare = process.observed(0)
    process.sent = PREPARED
    assert not spare.hangs(2)
    assert spare.take(2 + FRESH_SECONDS) is None
    assert process.poll() is not None


def test_a_spare_process_hangs_if_it_does_not_prepare_or_is_silent() -> None:
    process = Spare()
    spare = process.observed(0)
    for now in range(int(PREPARE_SECONDS)):
        process.sent = STARTING
        assert not spare.hangs(now)
    process.sent = STARTING
    assert spare.hangs(PREPARE_SECONDS), "it shows signs of life, but makes no progress"
    process.sent = STARTING + PREPARED
    assert not spare.hangs(PREPARE_SECONDS)
    assert not spare.hangs(PREPARE_SECONDS + HANG_SECONDS - 1)
    assert spare.hangs(PREPARE_SECONDS + HANG_SECONDS)


def test_a_process_that_serves_before_it_is_prepared_hangs_if_it_is_silent_or_takes_too_long() -> (
    None
):
    process = Spare()
    liveness = Liveness(cast(ApiChild, process), 0, silence=3, preparation=120)
    for now in range(0, 118, 2):
        process.sent = STARTING
        assert liveness.hung_for(now) is None
    assert liveness.hung_for(119) == 3
    process.sent = STARTING
    assert liveness.hung_for(120) == 120
    process.sent = PREPARED
    assert liveness.hung_for(120 + HANG_SECONDS - 1) is None
    assert not liveness.is_ready
    process.sent = ALIVE + READY
    assert liveness.hung_for(130) is None
    assert liveness.is_ready


async def test_a_spare_process_is_replaced_immediately_after_a_hang_and_later_after_an_end() -> (
    None
):
    children = [Spare(), Spare()]

    class Supervisor(ApiSupervisor):
        def _child(self) -> ApiChild:
            return cast(ApiChild, children.pop(0))

    first = children[0]
    with socket.socket() as listen_socket:
        supervisor = Supervisor(Settings(), listen_socket, None, state, RecordingConsole())
        due_at = supervisor._check_spare(0, 0)
        assert len(children) == 1
        due_at = supervisor._check_spare(HANG_SECONDS, due_at)
        assert first.poll() is not None
        second = children[0]
        due_at = supervisor._check_spare(HANG_SECONDS, due_at)
        assert children == []
        second.kill()
        assert supervisor._check_spare(15, due_at) == 15 + STABLE_SECONDS
