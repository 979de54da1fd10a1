"""Heartbeats: what each process of goald last said of itself, in the hash `goald:processes`."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from goald.adapters.clock import SystemClock
from goald.adapters.redis_streams.connect import Client, service_errors
from goald.domain.streams import PROCESSES
from goald.domain.times import rfc3339, to_us
from goald.ports import Clock

_SYSTEM_CLOCK = SystemClock()


async def write_process(
    client: Client,
    role: str,
    index: int,
    process: Mapping[str, Any],
    *,
    clock: Clock = _SYSTEM_CLOCK,
) -> None:
    """Say that a process is alive. `process` is anything that JSON takes; `role`, `index`
    and `at` (now, RFC 3339) are put in. Takes the place of what was said before."""
    said = {**process, "role": role, "index": index, "at": rfc3339(clock.now_us())}
    async with service_errors():
        await client.hset(PROCESSES, f"{role}:{index}", json.dumps(said))


async def read_processes(
    client: Client, max_age_s: float, *, clock: Clock = _SYSTEM_CLOCK
) -> list[dict[str, Any]]:
    """What each process said at most `max_age_s` seconds ago, by role and index, with
    `age_s` put in. Older words are passed over."""
    fresh = [said for said in await _read_all(client, clock) if said["age_s"] <= max_age_s]
    return sorted(fresh, key=lambda said: (said["role"], said["index"]))


async def remove_process(client: Client, role: str, index: int) -> None:
    """Take back what a process said, as it ends."""
    async with service_errors():
        await client.hdel(PROCESSES, f"{role}:{index}")


async def remove_stale_processes(
    client: Client, max_age_s: float, *, clock: Clock = _SYSTEM_CLOCK
) -> int:
    """Remove what was said longer ago than that; how many."""
    stale = [
        f"{said['role']}:{said['index']}"
        for said in await _read_all(client, clock)
        if said["age_s"] > max_age_s
    ]
    async with service_errors():
        return int(await client.hdel(PROCESSES, *stale)) if stale else 0


async def _read_all(client: Client, clock: Clock) -> list[dict[str, Any]]:
    async with service_errors():
        held = await client.hgetall(PROCESSES)
    now = clock.now_us()
    found: list[dict[str, Any]] = [json.loads(value) for value in held.values()]
    for said in found:
        # Another host's clock may be ahead of ours.
        said["age_s"] = max(0, now - to_us(datetime.fromisoformat(said["at"]))) / 1_000_000
    return found
