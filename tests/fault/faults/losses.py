"""Redis loses data: all of it, the end of it, or that of the last minute (D10).

goald's guarantee assumes that producers send again, so the workload does, from the beginning of
the round. goald itself publishes its lost messages again.
"""

import math
import time
from pathlib import Path

from tests.fault.harness.environment import FaultEnvironment
from tests.fault.harness.history import Shape
from tests.fault.harness.registry import FaultContext, fault

SHAPE = Shape(deletions=False)
OLD_S = 60.0
SMALLEST, LARGEST = 1_000, 1_000_000
"""Bytes that are cut off."""


@fault("Redis: append-only file cut", test=1, torture=20, shape=SHAPE)
def cut(context: FaultContext) -> None:
    """By 1 kB to 1 MB, like a disk that lost writes it had confirmed."""
    server = context.environment.servers.redis
    size = round(math.exp(context.rng.uniform(math.log(SMALLEST), math.log(LARGEST))))
    with context.redis_loses_data():
        server.kill()
        context.notes.append(f"{server.cut(size)} bytes")
        server.start()


@fault("Redis: replaced by an empty one", test=1, torture=20, shape=SHAPE)
def empty(context: FaultContext) -> None:
    """An empty server at the same address."""
    server = context.environment.servers.redis
    with context.redis_loses_data():
        server.kill()
        server.empty()
        server.start()


@fault("Redis: FLUSHALL", test=1, torture=20, shape=SHAPE)
def flush(context: FaultContext) -> None:
    """The same server, without groups, epochs and streams."""
    with context.redis_loses_data(), context.environment.servers.redis.client() as client:
        client.flushall()


@fault("Redis: replaced by a copy 60 s old", test=1, torture=20, shape=SHAPE)
def old(context: FaultContext) -> None:
    """Like a replica with this lag that became the primary."""
    server = context.environment.servers.redis
    copied, copy = _old_copy(context.environment)
    with context.redis_loses_data():
        server.kill()
        server.replace(copy)
        server.start()
        context.notes.append(f"{time.monotonic() - copied:.0f} s old")


def _old_copy(environment: FaultEnvironment) -> tuple[float, Path]:
    """The newest copy that is at least OLD_S old. Waits until there is one."""
    while True:
        now = time.monotonic()
        candidates = [(at, path) for at, path in environment.copies if now - at >= OLD_S]
        if candidates:
            return candidates[-1]
        time.sleep(min(at for at, _ in environment.copies) + OLD_S - now)
