"""The environment of a fault: its own servers, a goald on them, and an oracle that knows all
events that were ever published to them."""

import asyncio
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import psutil
import redis
from tests.fault.harness.daemon_process import DaemonProcess
from tests.fault.harness.history import TENANTS, configuration
from tests.fault.harness.idle_enrollments import TENANT as IDLE_TENANT
from tests.fault.harness.idle_enrollments import insert_enrollments
from tests.fault.harness.oracle import Key, Oracle, Verdict
from tests.fault.harness.probes import ExitWatch
from tests.fault.harness.servers import DEADLINE_S, Client, Servers
from tests.fault.harness.single_process import STREAMS, SingleProcess

from goald.adapters.redis.process_registry import decode_all
from goald.configuration.file import parse_configuration
from goald.redis_keys import GROUP, PROCESSES, event_stream
from goald.runtime.heartbeat.readiness import STALE_SECONDS
from goald.runtime.wiring.daemon import configuration_service

POLL_S = 0.01
POLL_PAUSE = 3
"""The pause after a check of a condition, in durations of that check, so that checking takes little
time from goald."""
START_S = 120.0
COPY_S = 15.0
COPIES = 8


class GoaldProcess(Protocol):
    """A running goald, in one process or many."""

    @property
    def roles(self) -> tuple[str, ...]:
        """The processes that must send heartbeats."""

    @property
    def pid(self) -> int: ...

    @property
    def is_running(self) -> bool: ...

    def start(self) -> None: ...
    def restart_if_ended(self) -> None: ...
    def kill(self) -> None: ...
    def stop(self) -> int | None: ...
    def printed(self) -> str: ...


class FaultEnvironment:
    """Servers, goald and an oracle within a `with` block, which must be entered on the main
    thread."""

    def __init__(self, make_goald: Callable[[Servers], GoaldProcess]) -> None:
        self._make_goald = make_goald
        self._numbers = count(1)
        self.servers = Servers()
        self.oracle = Oracle()
        self.idle_enrollments = 0
        """Enrollments of contacts without events, which a shard loads at its start."""
        self.copies: list[tuple[float, Path]] = []
        """Copies of Redis' files with the time of each, the oldest first."""

    def __enter__(self) -> Self:
        self.servers.__enter__()
        try:
            self.configure(*(configuration(tenant) for tenant in (*TENANTS, IDLE_TENANT)))
            if self.idle_enrollments:
                insert_enrollments(self.servers.postgres.admin_dsn, self.idle_enrollments)
            self.goald = self._make_goald(self.servers)
        except BaseException as error:
            self.servers.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.goald.kill()
        finally:
            self.servers.__exit__(kind, error, trace)

    @property
    def redis_url(self) -> str:
        return self.servers.redis.url

    def prefix(self) -> str:
        """A new prefix for the ids of one round."""
        return f"r{next(self._numbers)}"

    def configure(self, *files: str) -> None:
        """Apply each configuration, like `goald apply`."""

        async def apply() -> None:
            service = configuration_service(self.servers.postgres.dsn, self.redis_url)
            try:
                for contents in files:
                    await service.apply(parse_configuration(contents))
            finally:
                await service.close()

        asyncio.run(apply())

    def start(self) -> None:
        """Start goald if it does not run, and wait until it is ready."""
        if not self.goald.is_running:
            self.goald.start()
        ready = self._until(self.is_ready, time.monotonic() + START_S)
        assert ready, f"not ready within {START_S:.0f} s:\n{self.goald.printed()}"

    def _restart_and_check(self, condition: Callable[[], bool]) -> bool:
        """Restart goald if it has ended, then evaluate the condition. False if a server does not
        answer."""
        self.goald.restart_if_ended()
        try:
            return condition()
        except (redis.RedisError, OSError):
            return False

    def is_ready(self) -> bool:
        """Whether every expected process runs, and has a recent heartbeat that says ready."""
        with self._client() as client:
            heartbeats = {each.field: each for each in decode_all(client.hvals(PROCESSES))}
        now = datetime.now(UTC)
        first = heartbeats.get(self.goald.roles[0])
        return (
            self.goald.is_running
            and first is not None
            and first.pid == self.goald.pid
            and all(
                role in heartbeats
                and heartbeats[role].ready
                and heartbeats[role].age_s(now) < STALE_SECONDS
                and psutil.pid_exists(heartbeats[role].pid)
                for role in self.goald.roles
            )
        )

    def unprocessed(self) -> int:
        """The number of unread and pending stream entries, and of unpublished outbox messages."""
        with self._client() as client:
            behind = sum(_left_of(client, event_stream(number)) for number in range(STREAMS))
        query = "SELECT count(*) FROM goald.outbox WHERE published_at IS NULL"
        ((unpublished,),) = self.servers.postgres.sql(query)
        return behind + int(unpublished)

    def unerased(self) -> int:
        """The number of deleted contacts whose rows are not erased yet."""
        query = "SELECT count(*) FROM goald.erasures WHERE contact_id IS NOT NULL"
        ((contacts,),) = self.servers.postgres.sql(query)
        return int(contacts)

    def is_idle(self) -> bool:
        """Whether goald is ready, has processed everything and erased what was deleted."""
        return self.is_ready() and self.unprocessed() == 0 and self.unerased() == 0

    def until_idle(self, deadline: float) -> bool:
        """Wait until `is_idle`, up to a deadline of the monotonic clock. Returns whether it is."""
        return self._until(self.is_idle, deadline)

    def until_exits(self, keys: set[Key], watch: ExitWatch, deadline: float) -> bool:
        """Wait until all these enrollments have an exit. Returns whether they have."""
        return self._until(lambda: keys <= watch.look(), deadline)

    def _until(self, condition: Callable[[], bool], deadline: float) -> bool:
        while (checked := time.monotonic()) < deadline:
            if self._restart_and_check(condition):
                return True
            time.sleep(max(POLL_S, POLL_PAUSE * (time.monotonic() - checked)))
        return False

    def copy_redis(self) -> None:
        """Copy Redis' files, unless the last copy is younger than COPY_S."""
        now = time.monotonic()
        if self.copies and now - self.copies[-1][0] < COPY_S:
            return
        path = self.servers.path / f"redis-{next(self._numbers)}"
        self.servers.redis.copy(path)
        self.copies.append((now, path))
        while len(self.copies) > COPIES:
            shutil.rmtree(self.copies.pop(0)[1])

    def judge(self) -> Verdict:
        """The oracle's verdict on all events that were ever published here."""
        with self.servers.redis.client() as client:
            return self.oracle.judge(client, self.servers.postgres.admin_dsn)

    def _client(self) -> Client:
        return redis.Redis.from_url(self.redis_url, socket_timeout=DEADLINE_S)


def _left_of(client: Client, stream: str) -> int:
    if not client.exists(stream):
        return 0
    groups = {group["name"]: group for group in client.xinfo_groups(stream)}
    group = groups.get(GROUP.encode())
    after = group["last-delivered-id"] if group else b"0-0"
    unread = len(client.xrange(stream, min=b"(" + after, count=1_000))
    return unread + (int(group["pending"]) if group else 0)


def single_process_environment() -> FaultEnvironment:
    """An environment with goald in one process, without Ray."""
    return FaultEnvironment(
        lambda servers: SingleProcess(
            servers.redis.url, servers.postgres.dsn, str(servers.data.logs)
        )
    )


def daemon_environment(
    more: Mapping[str, str] | None = None, enrolled: int = 100_000
) -> FaultEnvironment:
    """An environment with a real `goald serve` and this many enrollments in addition to those
    of the rounds. `more`: additional environment variables."""
    environment = FaultEnvironment(
        lambda servers: DaemonProcess(
            servers.redis.url, servers.postgres.dsn, servers.path, dict(more or {})
        )
    )
    environment.idle_enrollments = enrolled
    return environment


class DaemonWithApi(DaemonProcess):
    """A daemon that serves the API, so that the API belongs to a ready instance."""

    roles = (*DaemonProcess.roles, "api:0")


def api_environment() -> FaultEnvironment:
    """An environment with a `goald serve` that serves the API."""
    more = {"GOALD_API_PORT": "0", "GOALD_JWT_SECRET": secrets.token_hex(32)}
    return FaultEnvironment(
        lambda servers: DaemonWithApi(servers.redis.url, servers.postgres.dsn, servers.path, more)
    )


def million_enrollments_environment() -> FaultEnvironment:
    """An environment with `goald serve` and 1,000,000 enrollments."""
    return daemon_environment(enrolled=1_000_000)
