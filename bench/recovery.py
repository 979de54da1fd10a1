"""How long a killed shard is away: from kill -9 to the first exit of a contact of its slots.

    python -m bench.recovery [--enrollments N ...] [--rounds N] [--json]

The real daemon's actors over a real Valkey and Postgres (durable, fsync on), all on this
machine. The event that achieves is published in the moment of the kill. Beside the whole, the
moments on the way: the new process has the lease, and it says that it is ready.
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from bench.stage import Stage
from bench.workload import TENANT, Workload, contact_id, slot_of
from goald.adapters.redis.connect import connect
from goald.adapters.redis.process_registry import RedisProcessRegistry
from goald.client import Publisher, event
from goald.domain.slots import split_slots
from goald.domain.streams import DEFAULT_STREAMS
from goald.ports.process_registry import Heartbeat
from goald.redis_keys import EXITS
from goald.runtime.actors.ray_cluster import RayCluster
from goald.runtime.actors.supervisor import Supervisor
from goald.settings import Settings

TIMEOUT_SECONDS = 120
POLL_SECONDS = 0.01
ENROLLMENTS = (100_000, 1_000_000)
PER_CONTACT = 3


@dataclass(frozen=True)
class Recovery:
    """One kill. Seconds after it."""

    enrollments: int
    lease_s: float
    ready_s: float
    exit_s: float


class Watched:
    """What a round looks at."""

    def __init__(self, stage: Stage, connection: "asyncpg.Connection") -> None:
        self._board = RedisProcessRegistry(stage.redis_url)
        self._redis = connect(stage.redis_url)
        self._connection = connection

    async def shard(self) -> Heartbeat:
        readings = await self._board.readings()
        return next(each for each in readings.heartbeats if each.field == "shard:0")

    async def epoch(self) -> int:
        epoch: int = await self._connection.fetchval(
            "SELECT epoch FROM goald.leases WHERE lower(slots) = 0"
        )
        return epoch

    async def has_exit(self, contact: str) -> bool:
        newest = await self._redis.xrevrange(EXITS, count=100)
        return any(contact.encode() in fields[b"event"] for _, fields in newest)

    async def close(self) -> None:
        await self._board.close()
        await self._redis.aclose()


async def recover(stage: Stage, watched: Watched, enrollments: int, contact: str) -> Recovery:
    """Kill shard 0, send what makes this contact achieve, and wait for its exit."""
    before, epoch = await watched.shard(), await watched.epoch()
    async with Publisher(stage.redis_url) as publisher:
        os.kill(before.pid, signal.SIGKILL)
        killed = time.perf_counter()
        await publisher.publish(
            event(
                "contact.tag.added",
                TENANT,
                contact,
                {"tag_name": "Customer"},
                time=datetime.now(UTC),
            )
        )

    async def has_lease() -> bool:
        return (await watched.epoch() or epoch) != epoch

    async def is_ready() -> bool:
        now = await watched.shard()
        return now.pid != before.pid and now.ready

    async def has_exit() -> bool:
        return await watched.has_exit(contact)

    found = await asyncio.gather(*(_since(killed, c) for c in (has_lease, is_ready, has_exit)))
    return Recovery(enrollments, *(round(seconds, 2) for seconds in found))


async def _since(moment: float, condition: Callable[[], Awaitable[bool]]) -> float:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not await condition():
            await asyncio.sleep(POLL_SECONDS)
    return time.perf_counter() - moment


async def measure(enrollments: int, rounds: int) -> list[Recovery]:
    """So many kills of a shard of two, with so many enrollments in all."""
    workload = Workload(contacts=enrollments // PER_CONTACT, events=0)
    with (
        tempfile.TemporaryDirectory(prefix="goald-") as directory,
        Stage(Path(directory)) as stage,
    ):
        await stage.prepare(workload)
        await stage.reset(DEFAULT_STREAMS, preload=False)
        settings = Settings(redis_url=stage.redis_url, postgres_dsn=stage.postgres_dsn)
        slots = split_slots(settings.shards)[0]
        theirs = (
            contact
            for contact in map(contact_id, range(workload.contacts))
            if slots.first <= slot_of(contact) <= slots.last
        )
        cluster = RayCluster(stage.short / "ray", None)
        cluster.start(stage.record)
        supervisor = Supervisor(settings, stage.endpoints(settings), DEFAULT_STREAMS)
        connection = await asyncpg.connect(stage.admin_dsn)
        watched = Watched(stage, connection)
        try:
            await supervisor.start()
            return [await recover(stage, watched, enrollments, next(theirs)) for _ in range(rounds)]
        finally:
            await supervisor.stop()
            cluster.stop()
            await watched.close()
            await connection.close()


def main() -> None:
    """About a minute for each million enrollments."""
    parser = argparse.ArgumentParser(prog="python -m bench.recovery")
    parser.add_argument("--enrollments", type=int, nargs="+", default=ENROLLMENTS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    for enrollments in options.enrollments:
        found = asyncio.run(measure(enrollments, options.rounds))
        if options.json:
            print(json.dumps([asdict(each) for each in found]))
            continue
        for name in ("lease_s", "ready_s", "exit_s"):
            seconds = [getattr(each, name) for each in found]
            print(
                f"{enrollments:>9,} enrollments  {name:<8} median {statistics.median(seconds):5.2f}"
                f"  longest {max(seconds):5.2f}  of {len(seconds)}"
            )


if __name__ == "__main__":
    main()
