"""The process registry: the latest heartbeat of every process of one goald.

Every coroutine raises `ServiceUnavailable` when the registry cannot be reached (D6).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from goald.domain.records.transfers import PendingTransfers


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The state of one process at one moment. Times are aware, in UTC."""

    role: str
    """`supervisor`, `consumer`, `shard`, `api` or `worker`."""
    index: int
    pid: int
    host: str
    started_at: datetime
    at: datetime
    """When the process sent this heartbeat."""
    ready: bool
    metrics: Sequence[Mapping[str, Any]] = ()
    """A snapshot of the process's metrics, as `goald.metrics.instance.snapshot` returns it."""
    consumers: int | None = None
    """How many consumers the supervisor has started. Only the supervisor sets this."""
    shards: int | None = None
    """How many shards the supervisor has started. Only the supervisor sets this."""
    api_url: str | None = None
    metrics_url: str | None = None
    not_ready_reason: str | None = None
    """A short phrase, or None if the process is ready or gives no reason. It contains no
    address, because /readyz shows it without a token."""
    api_processes: int | None = None
    """How many API processes the supervisor has started. Only the supervisor sets this."""
    workers: int | None = None
    """How many workers the supervisor has started. Only the supervisor sets this."""

    @property
    def field(self) -> str:
        """The key of the process: `{role}:{index}`."""
        return f"{self.role}:{self.index}"

    def age_s(self, now: datetime) -> float:
        """Seconds since the process sent this heartbeat; at least 0, because the clocks of two
        hosts differ."""
        return max(0.0, (now - self.at).total_seconds())


@dataclass(frozen=True, slots=True)
class Readings:
    """The state of a whole instance at one moment."""

    at: datetime
    heartbeats: Sequence[Heartbeat] = ()
    """Sorted by role and index."""
    lag: Mapping[str, int] = field(default_factory=dict)
    """Unacknowledged entries, by stream."""
    dead: int = 0
    """Entries in `goald:dead`."""
    dead_dropped: int = 0
    """Entries removed from `goald:dead` because it was full."""
    erasures_pending: int = 0
    """Deleted contacts whose erasure is not finished."""
    oldest_erasure_s: float = 0.0
    """The age of the oldest of these erasures."""
    erasures_in_tables: int = 0
    """Deleted contacts that rows in Postgres may still contain."""
    oldest_erasure_in_tables_s: float = 0.0
    transfers: PendingTransfers = field(default_factory=PendingTransfers)
    """Of merged contacts."""


class ReadingsSource(Protocol):
    """Reads the state of a whole instance."""

    async def readings(self) -> Readings:
        """The current state. Raises ServiceUnavailable."""


class ProcessRegistry(Protocol):
    """Stores one heartbeat for each process."""

    async def write(self, heartbeat: Heartbeat) -> None:
        """Replace the heartbeat of this process."""

    async def remove(self, role: str, index: int) -> None:
        """Remove the heartbeat of a process. Does nothing if there is none."""

    async def close(self) -> None: ...
