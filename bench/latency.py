"""Measures the time from an event to its exit, at a constant rate.

    python -m bench.latency [--rate N ...] [--seconds N] [--json]

A separate process publishes events at the rate, with the current time. The latency of an exit
is the time from its event to its publication. The daemon's actors, Valkey, Postgres (durable)
and the producer share this machine.
"""

import argparse
import asyncio
import json
import multiprocessing
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgpack
import redis

from bench.stage import Stage
from bench.workload import Workload
from goald.domain.streams import DEFAULT_STREAMS as STREAMS
from goald.redis_keys import EXITS, FIELD, event_stream
from goald.runtime.actors.ray_cluster import RayCluster
from goald.runtime.actors.supervisor import Supervisor
from goald.settings import Settings

SEND_EVERY = 0.001
WARM_UP_SECONDS = 2
DRAIN_SECONDS = 60


@dataclass(frozen=True)
class Latency:
    """Event to exit, in milliseconds."""

    rate: int
    sent_per_s: float
    """The actual rate of the producer."""
    exits: int
    p50: float
    p95: float
    p99: float
    worst: float


def produce(redis_url: str, streams: int, workload: Workload, rate: int) -> None:
    """Publish the workload at a constant rate. Blocks until all events are published."""
    client = redis.Redis.from_url(redis_url)
    events = list(workload.timed_events())
    started, sent = time.perf_counter(), 0
    while sent < len(events):
        due = min(len(events), int((time.perf_counter() - started) * rate))
        if due > sent:
            now = datetime.now(UTC).isoformat(timespec="microseconds")
            pipe = client.pipeline(transaction=False)
            for slot, event in events[sent:due]:
                event["time"] = now
                pipe.xadd(event_stream(slot % streams), {FIELD: msgpack.packb(event)})
            pipe.execute()
            sent = due
        time.sleep(SEND_EVERY)
    client.set("bench:sent_per_s", len(events) / (time.perf_counter() - started))
    client.close()


async def measure(stage: Stage, settings: Settings, rate: int, seconds: int) -> Latency:
    """Measure one rate."""
    workload = Workload(events=rate * (seconds + WARM_UP_SECONDS))
    await stage.reset(STREAMS, preload=False)
    supervisor = Supervisor(settings, stage.endpoints(settings), STREAMS)
    await supervisor.start()
    arguments = (settings.redis.url, STREAMS, workload, rate)
    producer = multiprocessing.get_context("spawn").Process(target=produce, args=arguments)
    producer.start()
    await asyncio.to_thread(producer.join)
    client = redis.Redis.from_url(settings.redis.url)
    deadline = time.monotonic() + DRAIN_SECONDS
    while client.xlen(EXITS) < workload.achievements and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    await supervisor.stop()
    latencies = _latencies(client)
    warm_up = len(latencies) * WARM_UP_SECONDS // (seconds + WARM_UP_SECONDS)
    latencies = sorted(latencies[warm_up:])
    cuts = statistics.quantiles(latencies, n=100)
    return Latency(
        rate=rate,
        sent_per_s=round(float(client.get("bench:sent_per_s") or 0)),
        exits=len(latencies),
        p50=round(cuts[49], 1),
        p95=round(cuts[94], 1),
        p99=round(cuts[98], 1),
        worst=round(latencies[-1], 1),
    )


def _latencies(client: Any) -> list[float]:
    """The latencies of all exits in milliseconds, in the order of publication."""
    found = []
    for _, fields in client.xrange(EXITS):
        data = json.loads(fields[FIELD.encode()])["data"]
        occurred = datetime.fromisoformat(data["occurred_at"])
        found.append((datetime.fromisoformat(data["published_at"]) - occurred).total_seconds())
    return [1000 * seconds for seconds in found]


async def run(rates: list[int], seconds: int) -> list[Latency]:
    """Measure each rate, one after another."""
    with tempfile.TemporaryDirectory(prefix="goald-") as directory, Stage(Path(directory)) as stage:
        settings = Settings(redis_url=stage.redis_url, postgres_dsn=stage.postgres_dsn)
        await stage.prepare(Workload(events=1))
        cluster = RayCluster(stage.short / "ray", None)
        cluster.start(stage.record)
        try:
            return [await measure(stage, settings, rate, seconds) for rate in rates]
        finally:
            cluster.stop()


def main() -> None:
    """Print a line per rate, or JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.latency")
    parser.add_argument("--rate", type=int, nargs="*", default=[1_000, 10_000, 50_000])
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = asyncio.run(run(options.rate, options.seconds))
    if options.json:
        print(json.dumps([asdict(latency) for latency in found]))
        return
    for latency in found:
        print(
            f"event to exit at {latency.rate:>7,}/s (sent {latency.sent_per_s:>8,.0f}/s):"
            f" p50 {latency.p50:>7} ms  p95 {latency.p95:>7} ms  p99 {latency.p99:>7} ms"
            f"  worst {latency.worst:>7} ms  of {latency.exits} exits"
        )


if __name__ == "__main__":
    main()
