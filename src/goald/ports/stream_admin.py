"""The event streams as a whole: their number, their lag, and what is acknowledged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StreamDepth:
    """How much is in one event stream."""

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

    async def announced_count(self) -> int | None:
        """The number that a change in progress is about to set; None if there is no change."""

    async def lag(self) -> Mapping[str, int]:
        """The lag of each event stream by name, and of streams beyond their number that still
        hold unacknowledged entries."""

    async def depths(self) -> Sequence[StreamDepth]:
        """Length, pending entries and lag of the streams that `lag` names."""

    async def is_acknowledged(self, stream: str, entry_id: str) -> bool:
        """Whether goald has acknowledged this entry: everything that it causes is then published
        (D2)."""

    async def announce_change(self, count: int) -> None:
        """Announce for some seconds that the number is about to become `count`; producers wait
        meanwhile. Repeat it to keep the announcement. Raises NotDrained if another change is
        announced."""

    async def withdraw_change(self, count: int) -> None:
        """End the announcement of `count`; producers continue."""

    async def change_count(self, before: int, count: int) -> bool:
        """Change the number from `before` to `count`, atomically, if every entry of the streams
        is acknowledged. Returns whether the number was changed."""
