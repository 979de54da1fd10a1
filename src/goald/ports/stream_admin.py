"""The streams as a whole: their number, lag and memory, and acknowledgements."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StreamDepth:
    """The number of entries in one event stream."""

    name: str
    length: int
    """Entries in the stream, acknowledged ones included."""
    pending: int
    """Entries that goald has read and not acknowledged."""
    lag: int
    """Entries that goald has not acknowledged, read or not."""


class StreamAdmin(Protocol):
    """Inspects the event streams and changes their number. Every method may raise
    ServiceUnavailable."""

    async def count(self) -> int:
        """The number of event streams: the stored one, else the default."""

    async def store_count(self, count: int) -> None:
        """Store the number if none is stored. Raises StreamCountMismatch if another is."""

    async def pending_count(self) -> int | None:
        """The number that the pending change sets; None if no change is pending."""

    async def lag(self) -> Mapping[str, int]:
        """The lag of each event stream by name, and of streams beyond their number that still
        hold unacknowledged entries."""

    async def depths(self) -> Sequence[StreamDepth]:
        """Length, pending entries and lag of the streams that `lag` names."""

    async def is_acknowledged(self, stream: str, entry_id: str) -> bool:
        """Whether goald has acknowledged this entry: everything that it causes is then published
        (D2)."""

    async def begin_change(self, count: int) -> None:
        """Make a change to `count` pending for some seconds; producers wait meanwhile. Call it
        again to renew the pending change. Raises NotDrained if another change is pending."""

    async def cancel_change(self, count: int) -> None:
        """Cancel the pending change to `count`; producers continue."""

    async def change_count(self, before: int, count: int) -> bool:
        """Change the number from `before` to `count`, atomically, if every entry of the streams
        is acknowledged. Returns whether the number was changed."""


@dataclass(frozen=True, slots=True)
class StreamLevel:
    """How full one stream is. Times are in microseconds since the epoch, by the server's clock."""

    name: str
    bytes: int
    """Memory of the stream, estimated from a sample; 0 if it does not exist."""
    oldest_us: int
    """When the oldest entry was added; the time of the reading if there is none."""
    acknowledged_us: int
    """goald has acknowledged every entry that was added before this time: the time of the reading
    if it has acknowledged all. 0 if goald has no group there."""
    length: int = 0
    """Entries, acknowledged ones included."""


@dataclass(frozen=True, slots=True)
class StreamLevels:
    """How full the streams and the server are at one moment."""

    at_us: int
    """The server's clock."""
    events: Sequence[StreamLevel]
    """The event streams, by partition."""
    outbound: Sequence[StreamLevel]
    """Exits and notices."""
    dead: StreamLevel
    """The dead letters."""
    used_bytes: int
    """Memory that the server uses, for every key and every client."""
    max_bytes: int | None
    """The server's limit (maxmemory); None if it has none or does not say."""

    def all(self) -> Sequence[StreamLevel]:
        return [*self.events, *self.outbound, self.dead]


class StreamLevelReader(Protocol):
    """Reads how full the streams are."""

    async def read(self) -> StreamLevels:
        """The levels now. Costs the server less than a millisecond for each stream. Raises
        ServiceUnavailable."""

    async def close(self) -> None: ...
