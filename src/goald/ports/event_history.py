"""Reads past entries of the event streams, without a lease."""

from collections.abc import Sequence
from typing import Protocol

from goald.ports.event_stream import RawEntry


class EventHistory(Protocol):
    """The entries of all event streams that are still stored."""

    async def stream_of(self, slot: int) -> str:
        """Return the stream that keeps the events of a slot. Raises ServiceUnavailable."""

    async def acknowledged(self, stream: str) -> bytes:
        """Return the id up to which the entries of a stream are acknowledged. Raises
        ServiceUnavailable."""

    async def read(self, stream: str, after: bytes, count: int) -> Sequence[RawEntry]:
        """Return the entries of a stream after this id, in order, at most `count`. Raises
        ServiceUnavailable."""

    async def removed(self, stream: str) -> bytes:
        """Return the id of the last removed entry, or of the first stored entry if that is earlier.
        0-0 if none was removed, and from Redis 6.2, which does not know. Raises
        ServiceUnavailable."""

    async def close(self) -> None:
        """Close the connection."""
