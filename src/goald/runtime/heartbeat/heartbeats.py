"""Heartbeats: what each process says about itself every second, and whether all are ready.

They lie in the Redis hash `goald:processes`, field `{role}:{index}`, one JSON object each:

    {"role": "shard", "index": 0, "pid": 71, "host": "a", "started_at": "…Z", "at": "…Z",
     "ready": true, "metrics": [what `goald.metrics.snapshot` gives]}

One that is not ready has `not_ready_reason` where it can say why.

That of the supervisor also has `consumers` and `shards`: how many it has started, which is
how many must be ready; and `api_url` and `metrics_url`, where it serves them.
Pure: no I/O, and the time is passed in.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

STALE_S = 5.0
"""A process that has said nothing for so long is not ready."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """One process at one moment. Times are aware, in UTC."""

    role: str
    """`supervisor`, `consumer` or `shard`."""
    index: int
    pid: int
    host: str
    started_at: datetime
    at: datetime
    """When this was said."""
    ready: bool
    metrics: Sequence[Mapping[str, Any]] = ()
    consumers: int | None = None
    """How many consumers there must be; of the supervisor alone."""
    shards: int | None = None
    api_url: str | None = None
    metrics_url: str | None = None
    not_ready_reason: str | None = None
    """Why it is not ready, a short phrase. Names no address: /readyz shows it to whoever asks."""

    @property
    def field(self) -> str:
        """The field of the hash."""
        return f"{self.role}:{self.index}"

    def age_s(self, now: datetime) -> float:
        """Seconds since it was said; never below 0, since clocks of hosts differ."""
        return max(0.0, (now - self.at).total_seconds())

    def to_json(self) -> str:
        """The value of the field."""
        said: dict[str, Any] = {
            "role": self.role,
            "index": self.index,
            "pid": self.pid,
            "host": self.host,
            "started_at": _text(self.started_at),
            "at": _text(self.at),
            "ready": self.ready,
            "metrics": list(self.metrics),
        }
        if self.not_ready_reason is not None:
            said["not_ready_reason"] = self.not_ready_reason
        if self.consumers is not None and self.shards is not None:
            said |= {"consumers": self.consumers, "shards": self.shards}
            said |= {"api_url": self.api_url, "metrics_url": self.metrics_url}
        return json.dumps(said, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The inverse of `to_json`. ValueError where it is something else."""
        try:
            said = json.loads(text)
            return cls(
                role=str(said["role"]),
                index=int(said["index"]),
                pid=int(said["pid"]),
                host=str(said["host"]),
                started_at=datetime.fromisoformat(said["started_at"]),
                at=datetime.fromisoformat(said["at"]),
                ready=bool(said["ready"]),
                metrics=tuple(said.get("metrics", ())),
                not_ready_reason=said.get("not_ready_reason"),
                consumers=said.get("consumers"),
                shards=said.get("shards"),
                api_url=said.get("api_url"),
                metrics_url=said.get("metrics_url"),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"this is not a heartbeat: {error!r}") from None


def parse(values: Iterable[str | bytes]) -> list[Heartbeat]:
    """The values of the hash, by role and index. What another release wrote there in
    another form is passed over: it counts as a process that has not been heard of."""
    found = []
    for value in values:
        try:
            found.append(Heartbeat.from_json(value))
        except ValueError:
            continue
    return sorted(found, key=lambda heartbeat: (heartbeat.role, heartbeat.index))


def not_ready(heartbeats: Iterable[Heartbeat], now: datetime) -> list[str]:
    """Why the instance is not ready, a short phrase each; empty where it is.

    Ready means: the supervisor and every process that it says it has started were heard of
    within the last 5 s, and said that they are ready.
    """
    by_field = {heartbeat.field: heartbeat for heartbeat in heartbeats}
    supervisor = by_field.get("supervisor:0")
    expected = ["supervisor:0"]
    if supervisor is not None:
        expected += [f"consumer:{index}" for index in range(supervisor.consumers or 0)]
        expected += [f"shard:{index}" for index in range(supervisor.shards or 0)]
    reasons = (_why(field, by_field.get(field), now) for field in expected)
    return [reason for reason in reasons if reason is not None]


def _why(field: str, heartbeat: Heartbeat | None, now: datetime) -> str | None:
    name = field.replace(":", " ")
    if heartbeat is None:
        return f"{name} was never heard of"
    age = heartbeat.age_s(now)
    if age >= STALE_S:
        return f"{name} was last heard of {age:.0f} s ago"
    if heartbeat.ready:
        return None
    reason = heartbeat.not_ready_reason
    return f"{name} is not ready{f': {reason}' if reason else ' yet'}"


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
