"""What each kind of process spent: CPU seconds of this process's descendants, by role."""

import os
from collections import Counter

import psutil

_ROLES = (
    ("ray::ConsumerAct", "consumer"),
    ("ray::ShardActor", "shards"),
    ("ray::PlainShard", "shards"),
    ("valkey", "redis"),
    ("redis-server", "redis"),
    ("postgres", "postgres"),
)


def cpu_by_role() -> Counter[str]:
    """User and system seconds so far: consumer, shards, redis, postgres, ray, bench."""
    spent: Counter[str] = Counter()
    me = psutil.Process(os.getpid())
    for process in [me, *me.children(recursive=True)]:
        try:
            times = process.cpu_times()
            line = " ".join(process.cmdline())
        except psutil.Error:
            continue
        role = next((role for part, role in _ROLES if part in line), "ray")
        spent["bench" if process == me else role] += times.user + times.system
    return spent


def since(before: Counter[str]) -> dict[str, float]:
    """Seconds spent since, by role."""
    now = cpu_by_role()
    return {role: round(now[role] - before[role], 2) for role in sorted(now)}
