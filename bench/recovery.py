"""Measures the recovery of a killed shard: from SIGKILL to the first exit for one of its slots.

    python -m bench.recovery [--enrollments N ...] [--rounds N] [--json]

Runs the daemon's actors with Valkey and Postgres (durable, fsync on) on this machine. The
achieving event is published immediately after the kill. Also measures when the new process
has the lease, and when it is ready.
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
    """One recovery. Seconds after the kill."""

    enrollments: int
    lease_s: float
    ready_s: float
    exit_s: float


class Observer:
    """Reads the state of shard 0 from Redis and Postgres."""

    def __init__(self, stage: Stage, connection: "asyncpg.Connection") -> None:
        self._registry = RedisProcessRegistry(stage.redis_url)
        self._redis = connect(stage.redis_url)
        self._connection = connection

    async def shard(self) -> Heartbeat:
        readings = await self._registry.readings()
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
        await self._registry.close()
        await self._redis.aclose()


async def recover(stage: Stage, observer: Observer, enrollments: int, contact: str) -> Recovery:
    """Kill shard 0, send an achieving event for this contact, and wait for its exit."""
    before, epoch = await observer.shard(), await observer.epoch()
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
        return (await observer.epoch() or epoch) != epoch

    async def is_ready() -> bool:
        now = await observer.shard()
        return now.pid != before.pid and now.ready

    async def has_exit() -> bool:
        return await observer.has_exit(contact)

    found = await asyncio.gather(*(_since(killed, c) for c in (has_lease, is_ready, has_exit)))
    return Recovery(enrollments, *(round(seconds, 2) for seconds in found))


async def _since(moment: float, condition: Callable[[], Awaitable[bool]]) -> float:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not await condition():
            await asyncio.sleep(POLL_SECONDS)
    return time.perf_counter() - moment


async def measure(enrollments: int, rounds: int) -> list[Recovery]:
    """Kill one of two shards `rounds` times, with `enrollments` in both together."""
    workload = Workload(contacts=enrollments // PER_CONTACT, events=0)
    with (
        tempfile.TemporaryDirectory(prefix="goald-") as directory,
        Stage(Path(directory)) as stage,
    ):
        await stage.prepare(workload)
        await stage.reset(DEFAULT_STREAMS, preload=False)
        settings = Settings(redis_url=stage.redis_url, postgres_dsn=stage.postgres_dsn)
        slots = split_slots(settings.shards)[0]
        contacts = (
            contact
            for contact in map(contact_id, range(workload.contacts))
            if slots.first <= slot_of(contact) <= slots.last
        )
        cluster = RayCluster(stage.short / "ray", None)
        cluster.start(stage.record)
        supervisor = Supervisor(settings, stage.endpoints(settings), DEFAULT_STREAMS)
        connection = await asyncpg.connect(stage.admin_dsn)
        observer = Observer(stage, connection)
        try:
            await supervisor.start()
            return [
                await recover(stage, observer, enrollments, next(contacts)) for _ in range(rounds)
            ]
        finally:
            await supervisor.stop()
            cluster.stop()
            await observer.close()
            await connection.close()


def main() -> None:
    """Print the results. Takes about a minute per million enrollments."""
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
