"""The clock of the daemon, of Redis or of Postgres is wrong by one hour.

Each runs under libfaketime, which reads the offset of the clock from a file. Durations stay
correct, as on a machine whose clock is set. Leases, heartbeats, entry ids and retention must
tolerate it.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import distribution
from itertools import cycle
from pathlib import Path
from typing import Self

from tests.fault.harness.daemon_process import DaemonProcess
from tests.fault.harness.environment import FaultEnvironment
from tests.fault.harness.probes import ExitWatch
from tests.fault.harness.registry import FaultContext, fault
from tests.fault.harness.servers import Servers, until

from goald.adapters.redis.process_registry import decode_all
from goald.domain.leases import LEASE_SECONDS
from goald.redis_keys import PROCESSES

HOUR = "3600s"
COMPONENTS = ("daemon", "redis", "postgres")


class ClockEnvironment(FaultEnvironment):
    """An environment in which the clock of each component can be set."""

    def __init__(self) -> None:
        self.turns = cycle(COMPONENTS)
        super().__init__(
            lambda servers: DaemonProcess(
                servers.redis.url,
                servers.postgres.dsn,
                servers.path,
                self.clock_variables("daemon"),
            )
        )

    def __enter__(self) -> Self:
        super().__enter__()
        for component, server in (
            ("redis", self.servers.redis),
            ("postgres", self.servers.postgres),
        ):
            with _environment(self.clock_variables(component)):
                server.stop()
                server.start()
        return self

    def _daemon(self, servers: Servers) -> DaemonProcess:
        variables = self.clock_variables("daemon")
        return DaemonProcess(servers.redis.url, servers.postgres.dsn, servers.path, variables)

    def clock_variables(self, component: str) -> dict[str, str]:
        """The environment variables of a process whose clock `set` changes."""
        self.set(component, "+0s")
        library = distribution("libfaketime").locate_file(
            "libfaketime/vendor/libfaketime/src/libfaketime.so.1"
        )
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file(component)),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, component: str, offset: str) -> None:
        """Set the offset of a component's clock, such as `+3600s`, within about 1 s."""
        file = self._file(component)
        new = file.with_suffix(".new")
        new.write_text(offset + "\n")
        new.rename(file)

    def hours_off(self, component: str) -> int:
        """The difference between a component's clock and ours, in hours."""
        clock: float
        if component == "postgres":
            ((clock,),) = self.servers.postgres.sql("SELECT extract(epoch FROM now())::float8")
        else:
            with self.servers.redis.client() as client:
                if component == "redis":
                    clock = client.time()[0]
                else:
                    heartbeats = decode_all(client.hvals(PROCESSES))
                    clock = min(each.at.timestamp() for each in heartbeats)
        return round((clock - time.time()) / 3600)

    def _file(self, component: str) -> Path:
        return self.servers.path / f"clock-{component}"


@contextmanager
def _environment(more: dict[str, str]) -> Iterator[None]:
    """Processes that are started in the `with` block inherit these variables."""
    before = {name: os.environ.get(name) for name in more}
    os.environ.update(more)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _set_wrong_clock(context: FaultContext, sign: str) -> None:
    environment = context.environment
    assert isinstance(environment, ClockEnvironment)
    component = next(environment.turns)
    context.notes.append(f"{component}, {sign}1 h")
    watch = ExitWatch(environment.redis_url)
    environment.set(component, sign + HOUR)
    try:
        until("wrong clock", lambda: environment.hours_off(component) == int(f"{sign}1"))
        time.sleep(LEASE_SECONDS + 2)
        seen = len(watch.look())
        # Events are processed while the clock is wrong, not only after it is corrected.
        until("exits", lambda: len(watch.look()) > seen)
    finally:
        environment.set(component, "+0s")


@fault("clock an hour back", test=1, torture=10, environment=ClockEnvironment, rate=20.0)
def hour_back(context: FaultContext) -> None:
    _set_wrong_clock(context, "-")


@fault("clock an hour ahead", test=1, torture=10, environment=ClockEnvironment, rate=20.0)
def hour_ahead(context: FaultContext) -> None:
    _set_wrong_clock(context, "+")
