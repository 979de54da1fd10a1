"""Whether an instance is ready, from its heartbeats. Pure: no I/O, and the time is passed in."""

from collections.abc import Iterable
from datetime import datetime

from goald.ports.process_registry import Heartbeat, Readings

STALE_SECONDS = 5.0
"""A process is not ready if its latest heartbeat is this old."""


def is_ready(readings: Readings) -> bool:
    """Whether the supervisor and every process that it started were ready at `readings.at`."""
    return not not_ready_reasons(readings.heartbeats, readings.at)


def not_ready_reasons(heartbeats: Iterable[Heartbeat], now: datetime) -> list[str]:
    """Why the instance is not ready, one short phrase per reason, the cause before its
    symptoms; empty if it is ready.

    An instance is ready if the supervisor and every process that it started sent a heartbeat
    within the last 5 s, and is ready in it. Without a supervisor there is one reason. A consumer
    waits for its shards, so shards come before consumers.
    """
    by_field = {heartbeat.field: heartbeat for heartbeat in heartbeats}
    supervisor = by_field.get("supervisor:0")
    if supervisor is None:
        return ["goald serve is not running: its supervisor has sent no heartbeat"]
    expected = ["supervisor:0"]
    if supervisor.age_s(now) < STALE_SECONDS:
        expected += [f"shard:{index}" for index in range(supervisor.shards or 0)]
        expected += [f"consumer:{index}" for index in range(supervisor.consumers or 0)]
        expected += [f"api:{index}" for index in range(supervisor.api_processes or 0)]
        expected += [f"worker:{index}" for index in range(supervisor.workers or 0)]
    reasons = (_reason(field, by_field.get(field), now) for field in expected)
    return [reason for reason in reasons if reason is not None]


def _reason(field: str, heartbeat: Heartbeat | None, now: datetime) -> str | None:
    name = field.replace(":", " ")
    if heartbeat is None:
        return f"{name}: no heartbeat yet"
    age = heartbeat.age_s(now)
    if age >= STALE_SECONDS:
        return f"{name}: no heartbeat for {age:.0f} s"
    if heartbeat.ready:
        return None
    return f"{name}: {heartbeat.not_ready_reason or 'starting'}"
