"""Redis loses what it had: all of it, the end of it, or what came within a minute (D10).

What goald promises over that assumes that producers can send again, so the workload does, from
the round's beginning. What goald has published and Redis has lost, goald publishes again.
"""

import math
import time
from pathlib import Path

from tests.fault.harness.history import Shape
from tests.fault.harness.registry import Act, fault
from tests.fault.harness.stage import Stage

KEPT = Shape(deletions=False)
OLD_S = 60.0
SMALLEST, LARGEST = 1_000, 1_000_000
"""Bytes that are cut off."""


@fault("Redis: append-only file cut", test=1, torture=20, shape=KEPT)
def cut(act: Act) -> None:
    """By 1 kB to 1 MB, as by a disk that had not written yet what it said it had."""
    server = act.stage.servers.redis
    size = round(math.exp(act.rng.uniform(math.log(SMALLEST), math.log(LARGEST))))
    server.kill()
    act.notes.append(f"{server.cut(size)} bytes")
    server.start()
    act.redis_lost_data()


@fault("Redis: replaced by an empty one", test=1, torture=20, shape=KEPT)
def empty(act: Act) -> None:
    """Another server at the same address."""
    server = act.stage.servers.redis
    server.kill()
    server.empty()
    server.start()
    act.redis_lost_data()


@fault("Redis: FLUSHALL", test=1, torture=20, shape=KEPT)
def flush(act: Act) -> None:
    """The same server, which goes on without groups, epochs or streams."""
    with act.stage.servers.redis.client() as client:
        client.flushall()
    act.redis_lost_data()


@fault("Redis: replaced by a copy 60 s old", test=1, torture=20, shape=KEPT)
def old(act: Act) -> None:
    """As by a replica that was that far behind."""
    server = act.stage.servers.redis
    copied, copy = _old_copy(act.stage)
    server.kill()
    server.replace(copy)
    server.start()
    act.notes.append(f"{time.monotonic() - copied:.0f} s old")
    act.redis_lost_data()


def _old_copy(stage: Stage) -> tuple[float, Path]:
    """The youngest copy that is old enough; waits until there is one."""
    while True:
        now = time.monotonic()
        fit = [(at, path) for at, path in stage.copies if now - at >= OLD_S]
        if fit:
            return fit[-1]
        time.sleep(min(at for at, _ in stage.copies) + OLD_S - now)
