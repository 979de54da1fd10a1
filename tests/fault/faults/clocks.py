"""A clock that is wrong by an hour: the daemon's, Redis', or Postgres'.

Each runs under libfaketime, which reads how far the clock is off from a file; durations stay
true, as on a machine whose clock is set. Leases, heartbeats, the ids of entries and what is kept
for how long must bear it.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import distribution
from itertools import cycle
from pathlib import Path
from typing import Self

from tests.fault.harness.probes import ExitWatch
from tests.fault.harness.registry import Act, fault
from tests.fault.harness.servers import until
from tests.fault.harness.serving import Serving
from tests.fault.harness.stage import Stage

from goald.adapters.redis.process_registry import decode_all
from goald.domain.leases import LEASE_SECONDS
from goald.redis_keys import PROCESSES

HOUR = "3600s"
WHOSE = ("daemon", "redis", "postgres")


class ClockStage(Stage):
    """A stage on which everybody's clock can be set."""

    def __init__(self) -> None:
        self.turns = cycle(WHOSE)
        super().__init__(
            lambda servers: Serving(
                servers.redis.url, servers.postgres.dsn, servers.path, self.faked("daemon")
            )
        )

    def __enter__(self) -> Self:
        super().__enter__()
        for whose, server in (("redis", self.servers.redis), ("postgres", self.servers.postgres)):
            with _environment(self.faked(whose)):
                server.stop()
                server.start()
        return self

    def faked(self, whose: str) -> dict[str, str]:
        """The variables of a process whose clock `set` sets."""
        self.set(whose, "+0s")
        library = distribution("libfaketime").locate_file(
            "libfaketime/vendor/libfaketime/src/libfaketime.so.1"
        )
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file(whose)),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, whose: str, offset: str) -> None:
        """Within a second or so, its clock is off by this, such as `+3600s`."""
        file = self._file(whose)
        new = file.with_suffix(".new")
        new.write_text(offset + "\n")
        new.rename(file)

    def hours_off(self, whose: str) -> int:
        """By how much its clock differs from ours, as it shows."""
        shown: float
        if whose == "postgres":
            ((shown,),) = self.servers.postgres.sql("SELECT extract(epoch FROM now())::float8")
        else:
            with self.servers.redis.client() as client:
                if whose == "redis":
                    shown = client.time()[0]
                else:
                    beats = decode_all(client.hvals(PROCESSES))
                    shown = min(beat.at.timestamp() for beat in beats)
        return round((shown - time.time()) / 3600)

    def _file(self, whose: str) -> Path:
        return self.servers.path / f"clock-{whose}"


@contextmanager
def _environment(more: dict[str, str]) -> Iterator[None]:
    """While this lasts, what is started gets these variables too."""
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


def _wrong(act: Act, sign: str) -> None:
    stage = act.stage
    assert isinstance(stage, ClockStage)
    whose = next(stage.turns)
    act.notes.append(f"{whose}, {sign}1 h")
    watch = ExitWatch(stage.redis_url)
    stage.set(whose, sign + HOUR)
    try:
        until("wrong clock", lambda: stage.hours_off(whose) == int(f"{sign}1"))
        time.sleep(LEASE_SECONDS + 2)
        seen = len(watch.look())
        # Events are obeyed while the clock is wrong, not only once it is right again.
        until("exits", lambda: len(watch.look()) > seen)
    finally:
        stage.set(whose, "+0s")


@fault("clock an hour back", test=1, torture=10, stage=ClockStage, rate=20.0)
def hour_back(act: Act) -> None:
    _wrong(act, "-")


@fault("clock an hour ahead", test=1, torture=10, stage=ClockStage, rate=20.0)
def hour_ahead(act: Act) -> None:
    _wrong(act, "+")
