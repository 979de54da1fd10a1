"""Reads past entries of the event streams, without a lease."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from goald.ports.event_stream import RawEntry


class EventHistory(Protocol):
    """The entries of all event streams that are still stored."""

    def since(
        self, slot: int, from_ms: int, unread_bytes: int
    ) -> AsyncIterator[Sequence[RawEntry]]:
        """Yield the entries of the stream that keeps the events of a slot in order, in pages: from
        the millisecond in which an entry was added, up to at least the last entry that a consumer
        has read. A consumer reads at most `unread_bytes` beyond the acknowledged entries. Raises
        ServiceUnavailable."""

    async def close(self) -> None:
        """Close the connection."""
