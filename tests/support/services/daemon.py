"""Runs `goald serve --embedded` as a process, and gives tests access to it.

- `daemon`: a daemon that several files share, ready, without the demo. It is stopped with SIGTERM
  after their last test; it must exit with 0 and leave no process running.
- `tenant`: a tenant that no other test uses.

Every wait is for a condition, with a deadline, and fails early if the daemon ends. The
failure contains the output of the daemon.
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
from tests.support.distribution import SHARES_THE_DAEMON
from tests.support.services.directories import new_directory
from tests.support.services.logins import with_login

from goald.adapters.redis.connect import connect
from goald.adapters.redis.dead_letters.store import RedisDeadLetterStore
from goald.adapters.redis.process_registry import RedisProcessRegistry
from goald.client import Exit, Publisher
from goald.ports.dead_letters import StoredDeadLetter
from goald.ports.process_registry import Readings
from goald.redis_keys import EXITS, NOTICES
from goald.runtime.embedded import launch
from goald.runtime.embedded.passwords import ADMIN, Passwords
from goald.runtime.embedded.processes import ProcessRecord
from goald.runtime.embedded.secret import find_token_secret
from goald.runtime.heartbeat.readiness import is_ready

GOALD = (sys.executable, "-m", "goald.cli.main")
ENDS_WITH_US = (sys.executable, "-I", "-S", launch.__file__)
DEADLINE_S = 120.0
"""Deadline of one wait; waits are far shorter on an idle machine."""
POLL_PAUSE = 5
"""The pause after a check of a condition, in durations of that check, so that checking takes little
time from the daemon."""
STOP_S = 25.0
"""Deadline for the daemon to end after a signal (D7)."""

T = TypeVar("T")
_numbers = itertools.count(1)


class Daemon:
    """One daemon on a data directory. It can be started again after it has ended."""

    def __init__(self, data_dir: Path, *, embedded: bool = True, **settings: str) -> None:
        """`embedded`: whether it starts embedded Redis and Postgres. `settings` are variables
        without the prefix GOALD_. Does not start the daemon."""
        self.data_dir = data_dir
        inherited = {k: v for k, v in os.environ.items() if "GOALD_" not in k.upper()}
        variables = {f"GOALD_{name.upper()}": value for name, value in settings.items()}
        self.environment = inherited | {"GOALD_DATA_DIR": str(data_dir)} | variables
        self._command = [*GOALD, "serve", *(["--embedded"] if embedded else [])]
        self._output = data_dir.with_name(f"{data_dir.name}-printed")
        self.process: subprocess.Popen[bytes] | None = None
        self._api: Api | None = None

    # Start and stop

    def launch(self) -> None:
        """Start the process without waiting. It has a separate session, so that a signal to its
        process group reaches only the daemon. If the tests are killed, the kernel sends it
        SIGTERM."""
        self._close_api()
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [
                    *ENDS_WITH_US,
                    str(os.getpid()),
                    str(int(signal.SIGTERM)),
                    *self._command,
                ],
                env=self.environment,
                cwd=self.data_dir.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def start(self) -> None:
        """Start it and wait until its addresses are published and all processes are ready."""
        self.launch()
        self.until("start", self._has_published_addresses)
        self.until("readiness", self.is_ready)

    def printed(self) -> str:
        """The output since the last start."""
        return self._output.read_text(errors="replace") if self._output.exists() else ""

    def family(self) -> list[psutil.Process]:
        """Every process of this daemon: the driver and its descendants, those recorded in
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
        """Send a signal and wait for the end; the exit code. Kills it after STOP_S."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.wait()

    def wait(self, seconds: float = STOP_S) -> int:
        """Wait until it ends; the exit code. Kills it after `seconds` and fails."""
        assert self.process is not None
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.end()
            raise AssertionError(f"it did not end within {seconds} s:\n{self.printed()}") from None

    def end(self) -> None:
        """Kill all processes of the daemon that still run, and remove its output."""
        self._close_api()
        if self.process is not None and self.process.poll() is None:
            family = self.family() if self._has_published_addresses() else []
            self.process.kill()
            self.process.wait(DEADLINE_S)
            for each in family:
                _kill(each)
        if (self.data_dir / "run").is_dir():
            ProcessRecord(self.data_dir / "run" / "processes.json").end_all()
        self._output.unlink(missing_ok=True)

    def kill_driver(self) -> None:
        """SIGKILL to the driver only, as from the kernel when memory is exhausted."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(DEADLINE_S)

    def kill_everything(self) -> None:
        """SIGKILL to every process, as in a power failure."""
        family = self.family()
        for each in family:
            _kill(each)
        assert self.process is not None
        self.process.wait(DEADLINE_S)

    def until(self, what: str, condition: Callable[[], T | None]) -> T:
        """Wait until the condition returns a true value; that value. `what` is for the failure."""
        assert self.process is not None
        deadline = time.monotonic() + DEADLINE_S
        while (checked := time.monotonic()) < deadline:
            if found := condition():
                return found
            code = self.process.poll()
            assert code is None, f"it ended with {code} before {what}:\n{self.printed()}"
            time.sleep(max(0.05, POLL_PAUSE * (time.monotonic() - checked)))
        raise AssertionError(f"no {what} within {DEADLINE_S} s:\n{self.printed()}")

    # Input

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
        """Run `goald apply` for a file with these contents, and return its output. Every shard has
        then loaded the change."""
        with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
            file.write(contents)
            file.flush()
            ran = self.run("apply", file.name, *words)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def publish(self, *events: Mapping[str, Any]) -> None:
        """Send events in this order. Returns when Redis has stored them."""

        async def send() -> None:
            async with Publisher(self.redis_url) as publisher:
                await publisher.publish_many(events)

        asyncio.run(send())

    def until_lag_zero(self) -> None:
        """Wait until every event that was sent is acknowledged."""
        self.until("lag of 0", lambda: not any(self.readings().lag.values()))

    # Output

    @property
    def api(self) -> Api:
        """Its HTTP API, with tokens signed with the secret that the daemon created."""
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
        password = Passwords.of(self.data_dir)[ADMIN]
        return with_login(str(self._instance()["postgres_dsn"]), ADMIN, password)

    def is_ready(self) -> bool:
        """Whether every process of the instance is ready, as `goald status` decides it."""
        return is_ready(self.readings())

    def readings(self) -> Readings:
        """Heartbeats and lag, as `goald status` reads them."""

        async def read() -> Readings:
            registry = RedisProcessRegistry(self.redis_url)
            try:
                return await registry.readings()
            finally:
                await registry.close()

        return asyncio.run(read())

    def redis(self) -> "redis.Redis":
        """A connection to its Redis. The caller closes it."""
        return redis.Redis.from_url(self.redis_url)

    def sql(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of a query as superuser, which row-level security does not apply to."""
        with psycopg.connect(self.admin_dsn) as connection:
            return connection.execute(query.encode(), values or None).fetchall()

    def exits(self, tenant: str) -> list[Exit]:
        """A tenant's exits in `goald:exits`, in order, with repetitions."""
        with self.redis() as client:
            found = [Exit.parse(entry[b"event"]) for _, entry in client.xrange(EXITS)]
        return [each for each in found if each.tenant_id == tenant]

    def notices(self, tenant: str, kind: str) -> list[dict[str, Any]]:
        """The data of a tenant's notices of one type, in order, with repetitions."""
        with self.redis() as client:
            found = [json.loads(entry[b"event"]) for _, entry in client.xrange(NOTICES)]
        return [e["data"] for e in found if (e["tenantid"], e["type"]) == (tenant, kind)]

    def dead(self) -> list[StoredDeadLetter]:
        """All dead letters, in order."""

        async def read() -> list[StoredDeadLetter]:
            client = connect(self.redis_url)
            try:
                return await RedisDeadLetterStore(client).page(100_000)
            finally:
                await client.aclose()

        return asyncio.run(read())

    def _close_api(self) -> None:
        if self._api is not None:
            self._api.close()
            self._api = None

    def _instance(self) -> dict[str, Any]:
        text = (self.data_dir / "run" / "instance.json").read_text()
        return dict(json.loads(text))

    def _has_published_addresses(self) -> bool:
        try:
            return self.process is not None and self._instance()["pid"] == self.process.pid
        except FileNotFoundError:
            return False


def left_of(family: list[psutil.Process]) -> list[str]:
    """Wait for these processes to end; pid and command line of those that still run after 10 s.
    Another process that has reused a pid does not count."""
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
    """A function that creates daemons without starting them, each on a new data directory.
    Their processes are killed and their directories removed after the test."""
    daemons: list[Daemon] = []

    def make(*, embedded: bool = True, **settings: str) -> Daemon:
        daemons.append(Daemon(new_directory(), embedded=embedded, **settings))
        return daemons[-1]

    yield make
    for each in daemons:
        each.end()
    for each in daemons:
        shutil.rmtree(each.data_dir, ignore_errors=True)


class SharedDaemon:
    """The daemon of the files in `SHARES_THE_DAEMON`. It runs from their first test to their last,
    because an idle daemon takes a twelfth of a core from the other tests."""

    def __init__(self) -> None:
        self._daemon: Daemon | None = None

    def started(self) -> Daemon:
        """The daemon, ready. Started if it does not run."""
        if self._daemon is None:
            self._daemon = Daemon(new_directory(), webhook_allow_private="true")
            try:
                self._daemon.start()
            except BaseException:
                self.kill()
                raise
        return self._daemon

    def stop(self) -> None:
        """Stop it with SIGTERM, if it runs. Asserts that it exits with 0 and leaves no process."""
        if self._daemon is None:
            return
        try:
            family = self._daemon.family()
            assert self._daemon.stop() == 0, self._daemon.printed()
            assert left_of(family) == []
        finally:
            self.kill()

    def kill(self) -> None:
        """Kill it, if it still runs, and remove its files."""
        if self._daemon is not None:
            self._daemon.end()
            shutil.rmtree(self._daemon.data_dir, ignore_errors=True)
            self._daemon = None


_shared = SharedDaemon()


@pytest.fixture
def daemon(request: pytest.FixtureRequest) -> Daemon:
    """The shared daemon, ready. Other tests use it, too."""
    assert request.node.nodeid.startswith(SHARES_THE_DAEMON), (
        "add this file to SHARES_THE_DAEMON in tests/support/distribution.py"
    )
    return _shared.started()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """Stop the shared daemon after the last of its tests."""
    if nextitem is None or not nextitem.nodeid.startswith(SHARES_THE_DAEMON):
        _shared.stop()


def pytest_sessionfinish() -> None:
    """After an interruption, the shared daemon still runs."""
    _shared.kill()


@pytest.fixture
def tenant() -> str:
    """A tenant that no other test uses."""
    return f"tenant-{next(_numbers)}"
