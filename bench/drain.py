"""Measures how fast a backlog drains: from the first claim of a stream to a lag of 0.

    python -m bench.drain [--events N] [--rounds N] [--shards N] [--json]

Runs the daemon's actors with Valkey and Postgres (durable, fsync on) on this machine. Runs
with the native matcher and with a matcher in plain Python alternate, so that both have the
same disturbances. Counts the achievements in Postgres after each run.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import redis
from ray.actor import ActorHandle

from bench.cpu import cpu_by_role, since
from bench.plain_python import make_plain_shard
from bench.stage import Stage
from bench.workload import Workload
from goald.domain.streams import DEFAULT_STREAMS as STREAMS
from goald.redis_keys import GROUP, event_stream
from goald.runtime.actors.ray_actors import make_shard
from goald.runtime.actors.ray_cluster import RayCluster
from goald.runtime.actors.supervisor import Supervisor
from goald.settings import Settings

TIMEOUT_SECONDS = 300
POLL_SECONDS = 0.01


@dataclass(frozen=True)
class Drained:
    """The result of one drain."""

    matcher: str
    seconds: float
    events_per_s: float
    achievements: int
    cpu_s: dict[str, float]
    """CPU seconds during the drain, by role."""


async def drain(
    stage: Stage,
    workload: Workload,
    settings: Settings,
    matcher: str,
    make: Callable[..., "ActorHandle[Any]"],
) -> Drained:
    """Preload events, start the daemon's actors, and measure until all events are acknowledged."""
    await stage.reset(STREAMS)
    supervisor = Supervisor(settings, stage.endpoints(settings), STREAMS, make_shard=make)
    client = redis.Redis.from_url(stage.redis_url)
    measurement = asyncio.ensure_future(_time_drain(client, STREAMS))
    await supervisor.start()
    seconds, spent = await asyncio.wait_for(measurement, TIMEOUT_SECONDS)
    await supervisor.stop()
    return Drained(
        matcher=matcher,
        seconds=round(seconds, 3),
        events_per_s=round(workload.events / seconds),
        achievements=await stage.achievements(),
        cpu_s=spent,
    )


async def _time_drain(client: "redis.Redis", streams: int) -> tuple[float, dict[str, float]]:
    """Seconds from the claim of the first stream, just before its first read, until all events
    are acknowledged, and CPU seconds by role."""
    spent = cpu_by_role()
    while not _claimed(client, streams):
        spent = cpu_by_role()
        await asyncio.sleep(POLL_SECONDS)
    started = time.perf_counter()
    while _has_unacknowledged(client, streams):
        await asyncio.sleep(POLL_SECONDS)
    return time.perf_counter() - started, since(spent)


def _claimed(client: "redis.Redis", streams: int) -> bool:
    return any(client.exists(f"goald:epoch:{number}") for number in range(streams))


def _has_unacknowledged(client: "redis.Redis", streams: int) -> bool:
    groups = list(_groups(client, streams))
    return len(groups) < streams or any(group["pending"] or group["lag"] for group in groups)


def _groups(client: "redis.Redis", streams: int) -> Iterator[dict[str, Any]]:
    for number in range(streams):
        for group in client.xinfo_groups(event_stream(number)):
            if group["name"] == GROUP.encode():
                yield group


async def run(options: argparse.Namespace) -> list[Drained]:
    """Run all rounds, alternating the matchers."""
    workload = Workload(events=options.events)
    found = []
    with (
        tempfile.TemporaryDirectory(prefix="goald-") as directory,
        Stage(Path(directory)) as stage,
    ):
        settings = Settings(
            redis_url=stage.redis_url,
            postgres_dsn=stage.postgres_dsn,
            shards=options.shards,
            consumers=options.consumers,
        )
        await stage.prepare(workload)
        cluster = RayCluster(stage.short / "ray", None)
        cluster.start(stage.record)
        try:
            for _ in range(options.rounds):
                for matcher, make in MATCHERS.items():
                    if matcher in options.matchers:
                        result = await drain(stage, workload, settings, matcher, make)
                        found.append(result)
                        print(f"  {result}", file=sys.stderr)
        finally:
            cluster.stop()
    return found


MATCHERS: dict[str, Callable[..., Any]] = {"rust": make_shard, "plain python": make_plain_shard}


def main() -> None:
    """Print a line per matcher, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--consumers", type=int, default=1)
    parser.add_argument("--matchers", nargs="*", default=list(MATCHERS))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = asyncio.run(run(options))
    if options.json:
        print(json.dumps([asdict(result) for result in found]))
        return
    for matcher in options.matchers:
        rates = [result.events_per_s for result in found if result.matcher == matcher]
        print(f"drain, {matcher:13} {statistics.median(rates):>9,.0f} events/s  {rates}")


if __name__ == "__main__":
    main()
