"""CPU of a worker for each job: `python -m bench.actions.throughput`.

    python -m bench.actions.throughput URL [--jobs N] [--concurrency N] [--profile FILE]

Registers jobs of the action noop, as a shard does, and then lets one worker perform them with the
loop and the providers of `goald worker`. Empties the server. Prints jobs per second, and
microseconds of CPU for each job in the worker and in the server.
"""

import argparse
import asyncio
import cProfile
import json
import time
from collections.abc import Sequence
from typing import Any

import uvloop
from prometheus_client import CollectorRegistry
from redis import Redis

from goald.adapters.clock import SystemClock
from goald.adapters.providers.noop import NoopProvider
from goald.adapters.redis.actions.gates import RedisGates
from goald.domain.actions.gates import ActionType, GateId, gate_series
from goald.domain.actions.job import Job
from goald.domain.ids import ContactId, EnrollmentId, TenantId, WorkflowId
from goald.domain.leases import SlotLease
from goald.domain.slots import SlotRange
from goald.metrics.workers import WorkerMetrics
from goald.ports.actions.gates import JobEntry
from goald.redis_jobs.queue import RedisJobQueue
from goald.redis_keys import action_stream
from goald.runtime.garbage_collection import collect_garbage_rarely
from goald.workers.rendering import render
from goald.workers.worker import Worker, WorkerSettings

NOOP = ActionType("noop")
LEASE = SlotLease(SlotRange(0, 255), 1, "bench")
SERIES = gate_series(1, b"\x00" * 4)
BATCH = 500
TENANTS = 20
VARIABLES = {
    "contact": {
        "id": "c-1", "email": "jane@example.com", "tags": ["Customer", "VIP"],
        "attributes": {"first_name": "Jane", "plan": "pro"},
    },
    "workflow": {"id": "nurture", "name": "Nurture"},
    "execution": {"id": "en-1"},
}  # fmt: skip


def a_job(number: int) -> Job:
    return Job(
        GateId(SERIES, number), TenantId(f"t-{number % TENANTS}"),
        ContactId(f"c-{number % 10_000}"), WorkflowId("nurture"), EnrollmentId(f"en-{number}"),
        "step", 1, 1, NOOP, f"key-{number}", {}, VARIABLES,
    )  # fmt: skip


async def register(url: str, jobs: int) -> None:
    """Publish the jobs, as the holder of all slots."""
    gates = RedisGates(url)
    await gates.admit(LEASE, await gates.fence(LEASE, SERIES))
    for start in range(0, jobs, BATCH):
        batch = (a_job(number) for number in range(start, min(start + BATCH, jobs)))
        entries = [JobEntry(job.gate, NOOP, job.encode(0)) for job in batch]
        await gates.register(LEASE, entries)
    await gates.close()


async def perform(url: str, client: Any, concurrency: int) -> dict[str, float]:
    """Seconds of time and of CPU until all jobs are finished."""
    clock, settings = SystemClock(), WorkerSettings(concurrency, backlog=2 * concurrency)
    queue = RedisJobQueue(url, "bench", clock)
    metrics = WorkerMetrics(CollectorRegistry())
    worker = Worker(queue, {NOOP: NoopProvider()}, render, clock, settings, observer=metrics)
    collect_garbage_rarely(50_000)
    server, own, at = _server_seconds(client), time.process_time(), time.monotonic()
    running = asyncio.create_task(worker.run())
    while client.xlen(action_stream(NOOP)):
        await asyncio.sleep(0.05)
    figures = {
        "seconds": time.monotonic() - at,
        "worker": time.process_time() - own,
        "server": _server_seconds(client) - server,
    }
    worker.stop()
    await running
    await queue.close()
    return figures


def _server_seconds(client: Any) -> float:
    info = client.info("cpu")
    return float(info["used_cpu_sys"] + info["used_cpu_user"])


def main(words: Sequence[str] | None = None) -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.actions.throughput")
    parser.add_argument("url", help="an otherwise unused Redis, which is emptied")
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--concurrency", type=int, default=500)
    parser.add_argument("--profile", help="write the profile of the worker to this file")
    options = parser.parse_args(words)
    with Redis.from_url(options.url) as client:
        client.flushall()
        uvloop.run(register(options.url, options.jobs))
        profile = cProfile.Profile()
        if options.profile:
            profile.enable()
        found = uvloop.run(perform(options.url, client, options.concurrency))
        if options.profile:
            profile.disable()
            profile.dump_stats(options.profile)
    figures = {
        "jobs": options.jobs,
        "jobs_per_second": round(options.jobs / found["seconds"]),
        "worker_us": round(found["worker"] / options.jobs * 1e6, 1),
        "server_us": round(found["server"] / options.jobs * 1e6, 1),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
