"""A real `goald serve --embedded` as a process of its own, and how a test speaks with it.

- `daemon`: one for the session, ready, without a demo. Stopped by SIGTERM at the end, when
  it must end well and leave no process behind.
- `tenant`: a tenant that no other test has.

Every wait is for a condition, with a deadline, and ends early where the daemon has ended;
what the daemon printed is in the failure.
"""

import asyncio
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import psutil
import psycopg
import pytest
import redis
from tests.support.api.client import Api
from tests.support.services.directories import new_room

from goald.adapters.redis.connect import connect
from goald.adapters.redis.dead_letters.store import StoredDeadLetter, list_dead
from goald.adapters.redis.process_registry import RedisProcessRegistry
from goald.client import Exit, Publisher
from goald.ports.process_registry import Readings
from goald.redis_keys import EXITS, NOTICES
from goald.runtime.embedded import launch
from goald.runtime.embedded.processes import ProcessRecord
from goald.runtime.embedded.secret import find_token_secret
from goald.runtime.heartbeat.readiness import is_ready

GOALD = (sys.executable, "-m", "goald.cli.main")
ENDS_WITH_US = (sys.executable, "-I", "-S", launch.__file__)
DEADLINE_S = 120.0
"""For one wait; far longer than any takes on an idle machine."""
STOP_S = 25.0
"""Within which a signal ends the daemon (D7)."""

T = TypeVar("T")
_numbers = itertools.count(1)


class Daemon:
    """One daemon on a data directory; it may be started again after it has ended."""

    def __init__(self, data_dir: Path, *, embedded: bool = True, **settings: str) -> None:
        """`embedded`: whether it starts a Redis and a Postgres of its own. `settings` are
        variables without their prefix. Does not start it."""
        self.data_dir = data_dir
        kept = {name: value for name, value in os.environ.items() if "GOALD_" not in name.upper()}
        own = {f"GOALD_{name.upper()}": value for name, value in settings.items()}
        self.environment = kept | {"GOALD_DATA_DIR": str(data_dir)} | own
        self._words = ["serve", "--embedded"] if embedded else ["serve"]
        self._output = data_dir.with_name(f"{data_dir.name}-printed")
        self.process: subprocess.Popen[bytes] | None = None
        self._api: Api | None = None

    # Its life

    def launch(self) -> None:
        """Start the process, and do not wait. Its session is its own, so that a signal sent
        to its group reaches nobody else; where the tests are killed, the kernel asks it to
        end."""
        self._leave_api()
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [*ENDS_WITH_US, str(os.getpid()), str(int(signal.SIGTERM)), *GOALD, *self._words],
                env=self.environment,
                cwd=self.data_dir.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def start(self) -> None:
        """Start it and wait until it says where it is and that all of it is ready."""
        self.launch()
        self.until("start", self._has_told_where_it_is)
        self.until("readiness", self.is_ready)

    def printed(self) -> str:
        """What it has printed since its last start."""
        return self._output.read_text(errors="replace") if self._output.exists() else ""

    def family(self) -> list[psutil.Process]:
        """Every process of this daemon: the driver, those below it, those recorded in
        run/processes.json, and those that send heartbeats."""
        assert self.process is not None
        driver = psutil.Process(self.process.pid)
        found = {each.pid: each for each in (driver, *driver.children(recursive=True))}
        recorded = ProcessRecord(self.data_dir / "run" / "processes.json").processes()
        pids = {each.pid for each in recorded if each.is_alive()}
        pids |= {each.pid for each in self.readings().heartbeats}
        for pid in pids - found.keys():
            if psutil.pid_exists(pid):
                found[pid] = psutil.Process(pid)
        return list(found.values())

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end and wait for that; its exit code. Killed where it takes too long."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.wait()

    def wait(self, seconds: float = STOP_S) -> int:
        """Wait until it ends by itself; its exit code."""
        assert self.process is not None
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.end()
            raise AssertionError(f"it did not end within {seconds} s:\n{self.printed()}") from None

    def end(self) -> None:
        """Kill what is left of it, if anything; a test is over."""
        self._leave_api()
        if self.process is not None and self.process.poll() is None:
            family = self.family() if self._has_told_where_it_is() else []
            self.process.kill()
            self.process.wait(DEADLINE_S)
            for each in family:
                _kill(each)
        if (self.data_dir / "run").is_dir():
            ProcessRecord(self.data_dir / "run" / "processes.json").end_all()
        self._output.unlink(missing_ok=True)

    def kill_driver(self) -> None:
        """kill -9 of the driver alone, as the kernel does when memory runs out."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(DEADLINE_S)

    def kill_everything(self) -> None:
        """kill -9 of every process at once, as when the machine loses its power."""
        family = self.family()
        for each in family:
            _kill(each)
        assert self.process is not None
        self.process.wait(DEADLINE_S)

    def until(self, what: str, condition: Callable[[], T | None]) -> T:
        """What the condition gives once it is true."""
        assert self.process is not None
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            if found := condition():
                return found
            code = self.process.poll()
            assert code is None, f"it ended with {code} before {what}:\n{self.printed()}"
            time.sleep(0.05)
        raise AssertionError(f"no {what} within {DEADLINE_S} s:\n{self.printed()}")

    # What goes in

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A `goald` command that finds this daemon by its data directory."""
        return subprocess.run(
            [*GOALD, *words],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )

    def apply(self, contents: str, *words: str) -> str:
        """`goald apply` of a file with these contents; what it printed. Every shard has the
        change then."""
        with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
            file.write(contents)
            file.flush()
            ran = self.run("apply", file.name, *words)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def publish(self, *events: Mapping[str, Any]) -> None:
        """Send events in this order. Redis has them then."""

        async def send() -> None:
            async with Publisher(self.redis_url) as publisher:
                await publisher.publish_many(events)

        asyncio.run(send())

    def until_lag_zero(self) -> None:
        """Until everything sent has taken effect."""
        self.until("lag of 0", lambda: not any(self.readings().lag.values()))

    # What comes out

    @property
    def api(self) -> Api:
        """Its HTTP API, with tokens by the secret that it made for itself."""
        if self._api is None:
            secret = find_token_secret(self.data_dir)
            assert secret is not None, self.printed()
            self._api = Api(str(self._instance()["api_url"]), secret.get_secret_value())
        return self._api

    @property
    def redis_url(self) -> str:
        return str(self._instance()["redis_url"])

    @property
    def admin_dsn(self) -> str:
        """Its Postgres as the superuser."""
        return str(self._instance()["postgres_dsn"]).replace("//goald@", "//postgres@")

    def is_ready(self) -> bool:
        """Whether every process of the instance is ready, as `goald status` decides it."""
        return is_ready(self.readings())

    def readings(self) -> Readings:
        """Heartbeats and lag, as `goald status` reads them."""

        async def read() -> Readings:
            board = RedisProcessRegistry(self.redis_url)
            try:
                return await board.readings()
            finally:
                await board.close()

        return asyncio.run(read())

    def redis(self) -> "redis.Redis":
        """A connection to its Redis, to be closed."""
        return redis.Redis.from_url(self.redis_url)

    def sql(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of a query, as the superuser, from whom row security hides nothing."""
        with psycopg.connect(self.admin_dsn) as connection:
            return connection.execute(query.encode(), values or None).fetchall()

    def exits(self, tenant: str) -> list[Exit]:
        """A tenant's exits in `goald:exits`, in their order, repeats included."""
        with self.redis() as client:
            found = [Exit.parse(entry[b"event"]) for _, entry in client.xrange(EXITS)]
        return [each for each in found if each.tenant_id == tenant]

    def notices(self, tenant: str, kind: str) -> list[dict[str, Any]]:
        """The data of a tenant's notices of one type, in their order, repeats included."""
        with self.redis() as client:
            found = [json.loads(entry[b"event"]) for _, entry in client.xrange(NOTICES)]
        return [e["data"] for e in found if (e["tenantid"], e["type"]) == (tenant, kind)]

    def dead(self) -> list[StoredDeadLetter]:
        """Everything in `goald:dead`, in its order."""

        async def read() -> list[StoredDeadLetter]:
            client = connect(self.redis_url)
            try:
                return await list_dead(client, count=100_000)
            finally:
                await client.aclose()

        return asyncio.run(read())

    def _leave_api(self) -> None:
        if self._api is not None:
            self._api.close()
            self._api = None

    def _instance(self) -> dict[str, Any]:
        text = (self.data_dir / "run" / "instance.json").read_text()
        return dict(json.loads(text))

    def _has_told_where_it_is(self) -> bool:
        try:
            return self.process is not None and self._instance()["pid"] == self.process.pid
        except FileNotFoundError:
            return False


def left_of(family: list[psutil.Process]) -> list[str]:
    """Those of the processes that are alive after a while, each with its command line. Waits
    for their end; a process that was given an old id does not count."""
    _, alive = psutil.wait_procs(family, timeout=10)
    return [f"{each.pid} {' '.join(each.cmdline())}" for each in alive if _lives(each)]


def _lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return


@pytest.fixture
def make_daemon() -> Iterator[Callable[..., Daemon]]:
    """Makes daemons that are not started, each on a data directory of its own. What is left
    of them is killed and removed after the test."""
    made: list[Daemon] = []

    def make(*, embedded: bool = True, **settings: str) -> Daemon:
        made.append(Daemon(new_room(), embedded=embedded, **settings))
        return made[-1]

    yield make
    for each in made:
        each.end()
    for each in made:
        shutil.rmtree(each.data_dir, ignore_errors=True)


@pytest.fixture(scope="session")
def daemon() -> Iterator[Daemon]:
    """The session's daemon, ready; it holds what other tests have sent, too."""
    daemon = Daemon(new_room())
    try:
        daemon.start()
        yield daemon
        family = daemon.family()
        code = daemon.stop()
        assert code == 0, daemon.printed()
        assert left_of(family) == []
    finally:
        daemon.end()
        shutil.rmtree(daemon.data_dir, ignore_errors=True)


@pytest.fixture
def tenant() -> str:
    """A tenant of this test's own."""
    return f"tenant-{next(_numbers)}"
