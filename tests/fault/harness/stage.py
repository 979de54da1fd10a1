"""The stage of a fault: servers of its own, a goald over them, and an oracle that remembers
everything that was ever published to them."""

import asyncio
import shutil
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import redis
from tests.fault.harness.enrolled import TENANT as CROWD
from tests.fault.harness.enrolled import enrol
from tests.fault.harness.history import TENANTS, configuration
from tests.fault.harness.one_process import STREAMS, OneProcess
from tests.fault.harness.oracle import Key, Oracle, Verdict
from tests.fault.harness.probes import ExitWatch
from tests.fault.harness.servers import DEADLINE_S, Client, Servers
from tests.fault.harness.serving import Serving

from goald.adapters.redis.process_registry import decode_all
from goald.configuration.file import parse_configuration
from goald.redis_keys import GROUP, PROCESSES, event_stream
from goald.runtime.heartbeat.readiness import STALE_SECONDS
from goald.runtime.wiring.daemon import configuration_service

POLL_S = 0.01
START_S = 120.0
COPY_S = 15.0
COPIES = 8


class Engine(Protocol):
    """A goald that runs, in whatever form."""

    @property
    def roles(self) -> tuple[str, ...]:
        """Whose heartbeats there must be."""

    @property
    def pid(self) -> int: ...

    @property
    def is_running(self) -> bool: ...

    def start(self) -> None: ...
    def look_after(self) -> None: ...
    def kill(self) -> None: ...
    def stop(self) -> int | None: ...
    def printed(self) -> str: ...


class Stage:
    """Servers, an engine and an oracle, for as long as the context lasts. To be entered on the
    main thread."""

    def __init__(self, make_engine: Callable[[Servers], Engine]) -> None:
        self._make_engine = make_engine
        self._numbers = count(1)
        self.servers = Servers()
        self.oracle = Oracle()
        self.enrolled = 0
        """How many enrollments there are to begin with, of contacts to whom nothing happens."""
        self.copies: list[tuple[float, Path]] = []
        """Of Redis' files, with when they were made; from the oldest on."""

    def __enter__(self) -> Self:
        self.servers.__enter__()
        try:
            self.configure(*(configuration(tenant) for tenant in (*TENANTS, CROWD)))
            if self.enrolled:
                enrol(self.servers.postgres.admin_dsn, self.enrolled)
            self.engine = self._make_engine(self.servers)
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
            self.engine.kill()
        finally:
            self.servers.__exit__(kind, error, trace)

    @property
    def redis_url(self) -> str:
        return self.servers.redis.url

    def prefix(self) -> str:
        """What begins the ids of the next round."""
        return f"r{next(self._numbers)}"

    def configure(self, *files: str) -> None:
        """`goald apply` of each."""

        async def apply() -> None:
            service = configuration_service(self.servers.postgres.dsn, self.redis_url)
            try:
                for contents in files:
                    await service.apply(parse_configuration(contents))
            finally:
                await service.close()

        asyncio.run(apply())

    def start(self) -> None:
        """Start the engine where it does not run, and wait until it is ready."""
        if not self.engine.is_running:
            self.engine.start()
        ready = self._until(self.is_ready, time.monotonic() + START_S)
        assert ready, f"not ready within {START_S:.0f} s:\n{self.engine.printed()}"

    def _looking_after(self, condition: Callable[[], bool]) -> bool:
        """The condition now, after starting again whatever has ended. False where a server
        does not answer."""
        self.engine.look_after()
        try:
            return condition()
        except (redis.RedisError, OSError):
            return False

    def is_ready(self) -> bool:
        """Whether every process that there must be says now that it is ready."""
        with self._client() as client:
            beats = {beat.field: beat for beat in decode_all(client.hvals(PROCESSES))}
        now = datetime.now(UTC)
        first = beats.get(self.engine.roles[0])
        return (
            self.engine.is_running
            and first is not None
            and first.pid == self.engine.pid
            and all(
                role in beats and beats[role].ready and beats[role].age_s(now) < STALE_SECONDS
                for role in self.engine.roles
            )
        )

    def left(self) -> int:
        """How much is not done: stream entries that are not acknowledged, pending ones, and
        messages that are committed and not published."""
        with self._client() as client:
            behind = sum(_left_of(client, event_stream(number)) for number in range(STREAMS))
        query = "SELECT count(*) FROM goald.outbox WHERE published_at IS NULL"
        ((unpublished,),) = self.servers.postgres.sql(query)
        return behind + int(unpublished)

    def is_at_rest(self) -> bool:
        """Whether all is ready and nothing is left to do."""
        return self.is_ready() and self.left() == 0

    def until_at_rest(self, deadline: float) -> bool:
        """Wait for that until a moment of the monotonic clock; whether it came."""
        return self._until(self.is_at_rest, deadline)

    def until_exits(self, keys: set[Key], watch: ExitWatch, deadline: float) -> bool:
        """Wait until there are exits of all these; whether they came."""
        return self._until(lambda: keys <= watch.look(), deadline)

    def _until(self, condition: Callable[[], bool], deadline: float) -> bool:
        while time.monotonic() < deadline:
            if self._looking_after(condition):
                return True
            time.sleep(POLL_S)
        return False

    def copy_redis(self) -> None:
        """Put a copy of Redis' files aside, where the last is not quite new."""
        now = time.monotonic()
        if self.copies and now - self.copies[-1][0] < COPY_S:
            return
        path = self.servers.path / f"redis-{next(self._numbers)}"
        self.servers.redis.copy(path)
        self.copies.append((now, path))
        while len(self.copies) > COPIES:
            shutil.rmtree(self.copies.pop(0)[1])

    def judge(self) -> Verdict:
        """What the oracle says of all that was ever published here."""
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


def plain_stage() -> Stage:
    """With goald in one process, without Ray."""
    return Stage(
        lambda servers: OneProcess(servers.redis.url, servers.postgres.dsn, str(servers.data.logs))
    )


def daemon_stage(more: Mapping[str, str] | None = None, enrolled: int = 100_000) -> Stage:
    """With a real `goald serve`, which has so many enrollments to hold beside the round's.
    `more`: further variables of its environment."""
    stage = Stage(
        lambda servers: Serving(
            servers.redis.url, servers.postgres.dsn, servers.path, dict(more or {})
        )
    )
    stage.enrolled = enrolled
    return stage


def million_stage() -> Stage:
    """The same with 1,000,000."""
    return daemon_stage(enrolled=1_000_000)
