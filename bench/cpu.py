"""CPU seconds of this process and its descendants, by role."""

import os
from collections import defaultdict

import psutil

_ROLES = (
    ("ray::ConsumerAct", "consumer"),
    ("ray::ShardActor", "shards"),
    ("ray::PlainShard", "shards"),
    ("valkey", "redis"),
    ("redis-server", "redis"),
    ("postgres", "postgres"),
)


def cpu_by_role() -> dict[str, float]:
    """User and system seconds since the start: consumer, shards, redis, postgres, ray, bench."""
    seconds: dict[str, float] = defaultdict(float)
    me = psutil.Process(os.getpid())
    for process in [me, *me.children(recursive=True)]:
        try:
            times = process.cpu_times()
            line = " ".join(process.cmdline())
        except psutil.Error:
            continue
        role = next((role for name, role in _ROLES if name in line), "ray")
        seconds["bench" if process == me else role] += times.user + times.system
    return seconds


def since(before: dict[str, float]) -> dict[str, float]:
    """Seconds since `before`, a result of `cpu_by_role`, by role."""
    now = cpu_by_role()
    return {role: round(now[role] - before.get(role, 0.0), 2) for role in sorted(now)}
