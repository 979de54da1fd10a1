"""Races of exits against calls: `python -m bench.actions.races`.

    python -m bench.actions.races URL [--races N] [--workers N]

A holder registers jobs and closes their gates a few milliseconds later, as exits do, while workers
perform them. Every second a worker dies and another one starts. Empties the server. Prints how the
gates were found, the age of the calls in flight at the exit, and the faults: calls of closed gates,
calls that began more than 250 ms after the exit, doubled calls of a provider without idempotency
keys, and jobs without a result. All must be 0.
"""

import argparse
import asyncio
import itertools
import json
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from redis.asyncio import Redis

from goald.adapters.clock import SystemClock
from goald.adapters.redis.actions.gates import RedisGates
from goald.domain.actions.gates import ActionType, GateId, gate_series
from goald.domain.actions.job import Job
from goald.domain.actions.outcomes import SUCCESS
from goald.domain.ids import ContactId, EnrollmentId, TenantId, WorkflowId
from goald.domain.leases import SlotLease
from goald.domain.slots import SlotRange
from goald.ports.actions.gates import GateState, GateStatus, JobEntry
from goald.redis_jobs.queue import RedisJobQueue
from goald.redis_keys import GATES, action_stream, event_stream
from goald.workers.provider import Enter, Performed
from goald.workers.worker import Worker, WorkerSettings

NOOP = ActionType("noop")
LEASE = SlotLease(SlotRange(0, 255), 1, "bench")
SERIES = gate_series(1, b"\x00" * 4)
TIMEOUT_S = 1.0
GROUP = 20


class Provider:
    """Notes when calls begin. Takes some milliseconds, before and after the gate."""

    is_keyed = False

    def __init__(self) -> None:
        self.calls: dict[GateId, list[float]] = {}

    async def perform(self, job: Job, config: Mapping[str, Any], enter: Enter) -> Performed:
        await asyncio.sleep(random.random() * 0.02)
        await enter()
        self.calls.setdefault(job.gate, []).append(time.monotonic())
        await asyncio.sleep(random.random() * 0.01)
        return Performed(SUCCESS)

    async def close(self) -> None:
        """There is nothing to close."""


class Races:
    """The holder, the workers, and their calls."""

    def __init__(self, url: str, workers: int) -> None:
        self.url = url
        self.gates = RedisGates(url)
        self.provider = Provider()
        self.closed: dict[GateId, tuple[float, GateState]] = {}
        self.deaths = 0
        self._names = itertools.count()
        self._workers = [self._start() for _ in range(workers)]

    def _start(self) -> tuple[Worker, "asyncio.Task[None]"]:
        clock = SystemClock()
        queue = RedisJobQueue(self.url, f"bench-{next(self._names)}", clock)
        settings = WorkerSettings(concurrency=200, idle_s=TIMEOUT_S)
        worker = Worker(queue, {NOOP: self.provider}, lambda config, _: config, clock, settings)
        return worker, asyncio.create_task(worker.run())

    async def kill_workers(self) -> None:
        """Every second the oldest worker dies, and another one starts."""
        while True:
            await asyncio.sleep(1.0)
            _, running = self._workers.pop(0)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            self._workers.append(self._start())
            self.deaths += 1

    async def race(self, numbers: Sequence[int]) -> None:
        jobs = [a_job(number) for number in numbers]
        entries = [JobEntry(job.gate, NOOP, job.encode(0)) for job in jobs]
        await self.gates.register(LEASE, entries)
        await asyncio.sleep(random.random() * 0.015)
        states = await self.gates.close_gates(LEASE, [job.gate for job in jobs])
        now = time.monotonic()
        for job, state in zip(jobs, states, strict=True):
            self.closed[job.gate] = now, state

    async def stop(self) -> None:
        for worker, running in self._workers:
            worker.stop()
            await running
        await self.gates.close()


def a_job(number: int) -> Job:
    return Job(
        GateId(SERIES, number), TenantId("acme"), ContactId(f"c-{number % 1_000}"),
        WorkflowId("nurture"), EnrollmentId(f"en-{number}"), "welcome", 1, 1, NOOP,
        f"key-{number}", {}, {}, timeout_s=TIMEOUT_S,
    )  # fmt: skip


async def run(url: str, races: int, workers: int) -> dict[str, Any]:
    """The figures."""
    client: Any = Redis.from_url(url)
    await client.flushall()
    bench = Races(url, workers)
    await bench.gates.admit(LEASE, await bench.gates.fence(LEASE, SERIES))
    killing = asyncio.create_task(bench.kill_workers())
    width = GROUP * 10
    for start in range(0, races, width):
        groups = (range(first, first + GROUP) for first in range(start, start + width, GROUP))
        await asyncio.gather(*map(bench.race, groups))
    killing.cancel()
    while await client.xlen(action_stream(NOOP)):  # the jobs of the dead
        await asyncio.sleep(0.1)
    await bench.stop()
    figures = _figures(bench)
    figures["gates_without_a_result"] = await client.hlen(GATES)
    figures["results"] = sum([await client.xlen(event_stream(n)) for n in range(4)])
    await client.aclose()
    return figures


def _figures(bench: Races) -> dict[str, Any]:
    calls, states = bench.provider.calls, bench.closed
    ages = sorted(s.passed_ms for _, s in states.values() if s.status is GateStatus.PASSED)
    begun_late = [
        calls[gate][0] - at
        for gate, (at, state) in states.items()
        if state.status is GateStatus.PASSED and gate in calls and calls[gate][0] > at
    ]
    shut = {GateStatus.OPEN, GateStatus.CLOSED, GateStatus.UNKNOWN}
    closed = {gate for gate, (_, state) in states.items() if state.status in shut}
    return {
        "races": len(states),
        "workers_killed": bench.deaths,
        "found": Counter(state.status.name for _, state in states.values()),
        "calls": len(calls),
        "age_of_calls_at_exit_ms": {
            f"p{share}": ages[len(ages) * share // 100] for share in (50, 95, 99) if ages
        },
        "calls_of_closed_gates": len(closed & calls.keys()),
        "calls_more_than_250_ms_after_the_exit": sum(each > 0.25 for each in begun_late),
        "doubled_calls": sum(len(times) > 1 for times in calls.values()),
    }


def main(words: Sequence[str] | None = None) -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.actions.races")
    parser.add_argument("url", help="an otherwise unused Redis, which is emptied")
    parser.add_argument("--races", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args(words)
    print(json.dumps(asyncio.run(run(options.url, options.races, options.workers)), indent=2))


if __name__ == "__main__":
    main()
