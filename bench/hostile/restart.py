"""Kills the API process, and measures its return and the exits meanwhile."""

import asyncio
import json
import time
from typing import Any

import httpx
import psutil
import redis.asyncio

from goald.client import Publisher, event
from goald.redis_keys import EXITS

TENANT = "acme"
WORKFLOW = "w"
EXITS_EACH = 200
KILLS = 5
SPARE_S = 5.0
"""How long a spare process has run before a kill; it needs about two seconds of processor time."""


def configure(url: str, token: str) -> None:
    """Create and activate the workflow."""
    with httpx.Client(
        base_url=url, headers={"authorization": f"Bearer {token}"}, timeout=30
    ) as client:
        path = f"/api/v1/workflows/{WORKFLOW}"
        goal = {"goal_type": "tag_added", "criteria": {"tag_name": "Customer"}}
        for method, where, body in (
            ("PUT", path, {"name": WORKFLOW, "goal_logic": "any"}),
            ("POST", f"{path}/goals", goal),
            ("POST", f"{path}/activate", None),
        ):
            client.request(method, where, json=body).raise_for_status()


async def exit_latencies(redis_url: str, prefix: str) -> list[float]:
    """Seconds from the publication of an event to its exit, one contact after another."""
    found = []
    async with (
        Publisher(redis_url) as publisher,
        redis.asyncio.Redis.from_url(redis_url) as client,
    ):
        entries: Any = await client.xrevrange(EXITS, count=1)
        last = entries[0][0].decode() if entries else "0"
        for number in range(EXITS_EACH):
            contact = f"{prefix}-{number}"
            enrollment = {"workflow_id": WORKFLOW, "enrollment_id": f"e-{contact}"}
            started = event("workflow.enrollment.started", TENANT, contact, enrollment)
            tag = event("contact.tag.added", TENANT, contact, {"tag_name": "Customer"})
            began = time.perf_counter()
            await publisher.publish_many([started, tag])
            while True:
                read: Any = await client.xread({EXITS: last}, block=10_000)
                last = read[0][1][-1][0].decode()
                contacts = [
                    json.loads(fields[b"event"])["data"]["contact_id"] for _, fields in read[0][1]
                ]
                if contact in contacts:
                    break
            found.append(time.perf_counter() - began)
    return found


async def api_process(pid: int) -> psutil.Process:
    """The API process of a driver, once there is also a spare one, which is younger."""
    while True:
        found = [
            each
            for each in psutil.Process(pid).children()
            if "goald.runtime.daemon.api.process" in each.cmdline()
        ]
        if len(found) == 2 and time.time() - max(map(psutil.Process.create_time, found)) >= SPARE_S:
            return min(found, key=psutil.Process.create_time)
        await asyncio.sleep(0.1)


async def measure(url: str, redis_url: str, pid: int) -> list[str]:
    """Kill the API process several times. Returns a line for each."""
    lines = []
    for number in range(KILLS + 1):
        process = await api_process(pid)
        exits = asyncio.create_task(exit_latencies(redis_url, f"c-{number}"))
        await asyncio.sleep(0.2)
        began = time.perf_counter()
        if number:
            process.kill()
        async with httpx.AsyncClient(base_url=url, timeout=30) as client:
            while True:
                try:
                    (await client.get("/livez")).raise_for_status()
                except httpx.TransportError:  # the connection that the process had accepted
                    continue
                break
        back_s = time.perf_counter() - began
        latencies = sorted(await exits)
        p99_ms = latencies[int(len(latencies) * 0.99)] * 1e3
        name = f"kill -9 ({number})" if number else "(none)"
        lines.append(
            f"{name:26} API back after {back_s:5.2f} s   exits: p99 {p99_ms:6.1f} ms, "
            f"longest {latencies[-1] * 1e3:6.1f} ms"
        )
    return lines
