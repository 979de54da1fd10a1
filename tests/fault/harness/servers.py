"""Private, durable Redis (Valkey) and Postgres servers that can be killed, stopped and
restarted, and whose files can be changed."""

import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

import psutil
import psycopg
import redis

from goald import migrations
from goald.runtime.embedded import DataDirectory
from goald.runtime.embedded.identity import Identity
from goald.runtime.embedded.postgres import Postgres
from goald.runtime.embedded.valkey import Valkey

Client: TypeAlias = Any
"""A `redis.Redis` that returns bytes; redis-py's own types fit no single protocol."""

DEADLINE_S = 60.0


def until(what: str, condition: Callable[[], Any], seconds: float = DEADLINE_S) -> Any:
    """The result of the condition once it is true. Raises AssertionError after the deadline."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, f"no {what} within {seconds:.0f} s"
        time.sleep(0.02)
    return result


class _Killable:
    """The processes of one server."""

    role: str

    def __init__(self, data: DataDirectory) -> None:
        self._data = data

    @property
    def pid(self) -> int:
        """The id of the server's main process."""
        return next(each.pid for each in self._data.record.processes() if each.role == self.role)

    def processes(self) -> list[psutil.Process]:
        """All processes of the server, the main process first."""
        first = psutil.Process(self.pid)
        return [first, *first.children(recursive=True)]

    def pause(self) -> None:
        """SIGSTOP: the server does not answer, and its connections stay open."""
        for each in self.processes():
            _signal(each, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        for each in self.processes():
            _signal(each, signal.SIGCONT)

    def kill(self) -> None:
        """kill -9 of all processes. Returns when all have ended."""
        processes = self.processes()
        for each in processes:
            _signal(each, signal.SIGKILL)
        psutil.wait_procs(processes, timeout=DEADLINE_S)


class RedisServer(_Killable):
    """Valkey with an append-only file that is synced before each reply."""

    role = "redis"

    def __init__(self, data: DataDirectory) -> None:
        super().__init__(data)
        self._server = Valkey(data)
        self.url = self._server.url
        self.directory = data.path / "redis"

    def start(self) -> None:
        """Start the server on its files. Returns when it accepts commands."""
        self._server.stop()
        self._server.start()

    def stop(self) -> None:
        self._server.stop()

    def client(self) -> Client:
        """A new client; the caller closes it."""
        return redis.Redis.from_url(self.url)

    @property
    def log(self) -> Path:
        """The part of the append-only file that Valkey writes to."""
        return max((self.directory / "appendonlydir").glob("*.incr.aof"))

    def cut(self, size: int) -> int:
        """Cut this many bytes from the end of the append-only file. The server must be down.
        Returns the number of bytes cut."""
        with self.log.open("r+b") as file:
            length = file.seek(0, 2)
            file.truncate(max(0, length - size))
        return min(length, size)

    def empty(self) -> None:
        """Remove the files. The server must be down."""
        shutil.rmtree(self.directory)

    def copy(self, to: Path) -> None:
        """Copy the files. The server may run, because it only appends."""
        shutil.copytree(self.directory, to)

    def replace(self, by: Path) -> None:
        """Replace the files by a copy. The server must be down."""
        self.empty()
        shutil.copytree(by, self.directory)


class PostgresServer(_Killable):
    """Postgres with durable commits."""

    role = "postgres"

    def __init__(self, data: DataDirectory) -> None:
        super().__init__(data)
        self._server = Postgres(data, Identity.choose())
        self.dsn = self._server.dsn("goald", "goald")
        """For the login of the daemon."""
        self.admin_dsn = self._server.dsn("postgres", "goald")
        """For the superuser, who bypasses row-level security."""
        self.directory = data.path / "postgres"

    def start(self) -> None:
        """Start the server on its files. Returns when it accepts commands."""
        self._server.stop()
        self._server.start()

    def stop(self) -> None:
        self._server.stop()

    def backends(self, *, of: str = "goald") -> list[int]:
        """The process ids of a login's backends."""
        query = "SELECT pid FROM pg_stat_activity WHERE usename = %s AND pid <> pg_backend_pid()"
        return [pid for (pid,) in self.sql(query, of)]

    def kill_backend(self, rng: random.Random) -> None:
        """kill -9 of a backend of the daemon, after which Postgres ends all others and recovers.
        Returns when it accepts commands again."""
        os.kill(rng.choice(self.backends()), signal.SIGKILL)
        until("recovery of Postgres", self._answers)

    def _answers(self) -> bool:
        try:
            return self.sql("SELECT 1") == [(1,)]
        except psycopg.OperationalError:
            return False

    def sql(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a query, run by the superuser."""
        with psycopg.connect(self.admin_dsn, autocommit=True) as connection:
            cursor = connection.execute(query.encode(), values or None)
            return cursor.fetchall() if cursor.description is not None else []


class Servers:
    """Both servers, started and migrated within the `with` block. Must be entered on the main
    thread."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.path = Path(tempfile.mkdtemp(prefix="goald-fault-", dir="/tmp"))
            stack.callback(shutil.rmtree, self.path, ignore_errors=True)
            self.data = stack.enter_context(DataDirectory.open(self.path / "data"))
            self.redis = RedisServer(self.data)
            self.postgres = PostgresServer(self.data)
            stack.callback(self.redis.stop)
            self.redis.start()
            stack.callback(self.postgres.stop)
            self.postgres.start()
            migrations.upgrade(self.postgres.dsn)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for server in (self.redis, self.postgres):
            if any(each.role == server.role for each in self.data.record.processes()):
                _resume(server)
        self._stack.close()


def _resume(server: _Killable) -> None:
    """Resume a server, because a stopped process does not react to its stop signal."""
    try:
        server.resume()
    except psutil.NoSuchProcess:
        return


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def entries(client: Client, stream: str, after: bytes) -> Iterator[tuple[bytes, Any]]:
    """The entries of a stream after an id."""
    while page := client.xrange(stream, min=b"(" + after, count=1_000):
        yield from page
        after = page[-1][0]
