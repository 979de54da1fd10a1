"""The faults of a run: one after another, while executions race."""

import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import psutil
import redis
from tests.fault.executions.evidence import Stop
from tests.fault.executions.redis_log import RedisLog
from tests.fault.executions.workload import Contact, Races
from tests.fault.harness.daemon_process import DaemonProcess
from tests.fault.harness.environment import FaultEnvironment
from tests.fault.harness.servers import until

from goald.domain.leases import LEASE_SECONDS

FAULTS: Final = {
    "kill -9 of a worker": 5,
    "SIGSTOP of a worker": 5,
    "kill -9 of a shard": 4,
    "SIGSTOP of a shard": 3,
    "SIGSTOP of a shard past its lease": 1,
    "kill -9 of a consumer": 2,
    "kill -9 of Redis": 2,
    "SIGSTOP of Redis": 2,
    "FLUSHALL": 2,
    "Redis replaced by an empty one": 2,
    "kill -9 of Postgres": 2,
    "SIGSTOP of Postgres": 2,
    "kill -9 of the API": 1,
}
"""How often each one occurs, in proportion."""
RECOVERED: Final = 50
"""Executions that end between two faults, unless it takes longer than RECOVERY_S."""
RECOVERY_S: Final = 60.0
SHARDS: Final = ("shard:0", "shard:1")

_ENDED: Final = """
SELECT tenant_id, contact_id FROM goald.workflow_executions WHERE ended_at IS NOT NULL
"""


class Disturbances:
    """Injects faults. Must be used on the main thread: the servers that it starts end with it."""

    def __init__(
        self, environment: FaultEnvironment, races: Races, log: RedisLog, rng: random.Random
    ) -> None:
        assert isinstance(environment.goald, DaemonProcess)
        self._goald = environment.goald
        self._servers = environment.servers
        self._races = races
        self._log = log
        self._rng = rng
        self.counts: Counter[str] = Counter()
        self.stops: list[Stop] = []
        """Of workers."""

    def inject(self, name: str) -> None:
        """Inject one fault. Returns when it is over."""
        self.counts[name] += 1
        injections: dict[str, Callable[[], None]] = {
            "kill -9 of a worker": lambda: self._kill("worker:0"),
            "SIGSTOP of a worker": self._stop_worker,
            "kill -9 of a shard": lambda: self._kill(self._rng.choice(SHARDS)),
            "SIGSTOP of a shard": lambda: self._stop(
                self._rng.choice(SHARDS), self._rng.uniform(0.3, 3.0)
            ),
            "SIGSTOP of a shard past its lease": lambda: self._stop(
                self._rng.choice(SHARDS), LEASE_SECONDS + 1
            ),
            "kill -9 of a consumer": lambda: self._kill("consumer:0"),
            "kill -9 of Redis": self._kill_redis,
            "SIGSTOP of Redis": self._stop_redis,
            "FLUSHALL": self._flush,
            "Redis replaced by an empty one": self._replace_redis,
            "kill -9 of Postgres": self._kill_postgres,
            "SIGSTOP of Postgres": self._stop_postgres,
            "kill -9 of the API": lambda: self._kill("api:0"),
        }
        injections[name]()

    def inject_any(self) -> None:
        """Inject a fault at random."""
        (name,) = self._rng.choices(list(FAULTS), weights=list(FAULTS.values()))
        self.inject(name)

    def wait(self, seconds: float) -> None:
        """Let goald work for this long, and until executions have ended since, so that it recovers
        on a slow machine too. Restarts goald if it has ended."""
        began, before = time.monotonic(), self._races.ended
        while not self._races.is_done:
            waited = time.monotonic() - began
            has_recovered = self._races.ended - before >= RECOVERED or waited > RECOVERY_S
            if waited >= seconds and has_recovered:
                return
            self._goald.restart_if_ended()
            time.sleep(0.05)

    def _process(self, role: str) -> psutil.Process:
        def find() -> psutil.Process | None:
            self._goald.restart_if_ended()
            with suppress(StopIteration, redis.RedisError, OSError, psutil.NoSuchProcess):
                return self._goald.process_of(role)
            return None

        process: psutil.Process = until(f"heartbeat of {role}", find)
        return process

    def _kill(self, role: str) -> None:
        with suppress(psutil.NoSuchProcess):
            self._process(role).kill()

    def _stop(self, role: str, seconds: float) -> None:
        process = self._process(role)
        begin = time.time_ns()
        with suppress(psutil.NoSuchProcess):
            process.suspend()
            time.sleep(seconds)
            process.resume()
        if role.startswith("worker"):
            self.stops.append(Stop(process.pid, begin, time.time_ns()))

    def _stop_worker(self) -> None:
        """Mostly for about as long as a call may be late."""
        self._stop("worker:0", self._rng.choice((0.1, 0.3, 0.5, 2.0)))

    def _kill_redis(self) -> None:
        self._servers.redis.kill()
        self._log.cut()
        time.sleep(self._rng.uniform(0.0, 1.0))
        self._servers.redis.start()

    def _stop_redis(self) -> None:
        self._servers.redis.pause()
        try:
            time.sleep(self._rng.choice((0.1, 0.3, 1.0, 4.0)))
        finally:
            self._servers.redis.resume()

    def _flush(self) -> None:
        with self._races.paused():
            with self._servers.redis.client() as client:
                client.flushall()
            self._races.send_again(self._ended())

    def _replace_redis(self) -> None:
        with self._races.paused():
            self._servers.redis.kill()
            self._log.replace(self._servers.redis.empty)
            self._servers.redis.start()
            self._races.send_again(self._ended())

    def _kill_postgres(self) -> None:
        self._servers.postgres.kill()
        time.sleep(self._rng.uniform(0.0, 2.0))
        self._servers.postgres.start()

    def _stop_postgres(self) -> None:
        self._servers.postgres.pause()
        try:
            time.sleep(self._rng.choice((0.3, 2.0, 4.0)))
        finally:
            self._servers.postgres.resume()

    def _ended(self) -> list[Contact]:
        rows = self._servers.postgres.sql(_ENDED)
        return [(str(tenant), str(contact)) for tenant, contact in rows]
