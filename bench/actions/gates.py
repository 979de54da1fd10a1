"""Redis CPU and memory of the gates of actions: `python -m bench.actions.gates`.

    python -m bench.actions.gates URL [--actions N] [--batch N]

Puts actions through their cycle (register, read, pass, finish) on a server without other clients,
and runs the plain commands of the cycle on the same server. Empties the server. Prints microseconds
of the server's CPU for each action, and the bytes of a closed gate.
"""

import argparse
import asyncio
import json
from collections.abc import Sequence
from typing import Any

import redis

from goald.adapters.clock import SystemClock
from goald.adapters.redis.actions.gates import RedisGates
from goald.domain.actions.gates import ActionType, GateId, gate_series
from goald.domain.ids import TenantId, WorkflowId
from goald.domain.leases import SlotLease
from goald.domain.slots import SlotRange
from goald.ports.actions.gates import JobEntry
from goald.ports.actions.jobs import JobResult, PassRequest
from goald.redis_jobs.queue import RedisJobQueue
from goald.redis_keys import closed_gates_key

NOOP = ActionType("noop")
LEASE = SlotLease(SlotRange(0, 255), 1, "bench")
SERIES = gate_series(1, b"\x00" * 4)
TOKEN = b"t" * 16
JOB, RESULT = json.dumps({"job": "x" * 500}), json.dumps({"result": "x" * 400}).encode()


class Cpu:
    """Seconds of the server's CPU, by phase."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._last = self._seconds()
        self.seconds: dict[str, float] = {}

    def _seconds(self) -> float:
        info = self._client.info("cpu")
        return float(info["used_cpu_sys"] + info["used_cpu_user"])

    def count(self, phase: str) -> None:
        """Add the seconds since the last call to a phase."""
        now = self._seconds()
        self.seconds[phase] = self.seconds.get(phase, 0.0) + now - self._last
        self._last = now


async def cycles(url: str, client: Any, actions: int, batch: int) -> dict[str, float]:
    """Microseconds of CPU for each action, by phase."""
    gates, queue = RedisGates(url), RedisJobQueue(url, "bench", SystemClock())
    await gates.admit(LEASE, await gates.fence(LEASE, SERIES))
    await queue.receive([NOOP], 1, 0.01)
    cpu = Cpu(client)
    for start in range(0, actions, batch):
        ids = [GateId(SERIES, number) for number in range(start, start + batch)]
        await gates.register(LEASE, [JobEntry(each, NOOP, JOB) for each in ids])
        cpu.count("register")
        received = await queue.receive([NOOP], batch, 1.0)
        cpu.count("read")
        tenant, workflow = TenantId("acme"), WorkflowId("nurture")
        requests = [PassRequest(each, each.number % 256, tenant, workflow, TOKEN) for each in ids]
        await queue.pass_gates(requests)
        cpu.count("pass")
        await queue.finish(
            [
                JobResult(each, each.number % 256, TOKEN, NOOP, job.entry_id, RESULT)
                for each, job in zip(ids, received, strict=True)
            ]
        )
        cpu.count("finish")
    await gates.close()
    await queue.close()
    return _each(cpu, actions)


def plain_commands(client: Any, actions: int, batch: int) -> dict[str, float]:
    """The same for the commands of a cycle, without scripts, conditions or atomicity."""
    client.xgroup_create("jobs", "bench", "0", mkstream=True)
    cpu = Cpu(client)
    for start in range(0, actions, batch):
        with client.pipeline(transaction=False) as pipe:
            for number in range(start, start + batch):
                pipe.xadd("jobs", {"event": JOB})
                pipe.hset("gates", str(number), "x" * 60)
            pipe.execute()
            jobs = client.xreadgroup("bench", "bench", {"jobs": ">"}, count=batch)[0][1]
            for number in range(start, start + batch):
                pipe.hset("gates", str(number), "y" * 60)
            pipe.execute()
            for number, (entry_id, _) in zip(range(start, start + batch), jobs, strict=True):
                pipe.xadd("events", {"event": RESULT})
                pipe.hdel("gates", str(number))
                pipe.xack("jobs", "bench", entry_id)
                pipe.xdel("jobs", entry_id)
            pipe.execute()
        cpu.count("plain")
    return _each(cpu, actions)


def bytes_per_closed_gate(client: Any, actions: int) -> float:
    """Bytes of the pages that `cycles` has left, for each gate."""
    pages = [client.memory_usage(closed_gates_key(SERIES, p)) for p in range(actions // 8_192)]
    return float(sum(pages) / (8_192 * len(pages)))


def _each(cpu: Cpu, actions: int) -> dict[str, float]:
    return {phase: round(s / actions * 1e6, 2) for phase, s in cpu.seconds.items()}


def main(words: Sequence[str] | None = None) -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.actions.gates")
    parser.add_argument("url", help="an otherwise unused Redis, which is emptied")
    parser.add_argument("--actions", type=int, default=40_000)
    parser.add_argument("--batch", type=int, default=100)
    options = parser.parse_args(words)
    with redis.Redis.from_url(options.url) as client:
        figures: dict[str, Any] = {"batch": options.batch}
        client.flushall()
        gates = asyncio.run(cycles(options.url, client, options.actions, options.batch))
        figures["gates_us"] = gates
        figures["bytes_per_closed_gate"] = bytes_per_closed_gate(client, options.actions)
        figures["plain_us"] = plain_commands(client, options.actions, options.batch)
        figures["gates_us"]["sum"] = round(sum(figures["gates_us"].values()), 2)
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
