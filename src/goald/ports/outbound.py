"""The outbound streams: exits, notices, control messages and dead letters.

Every coroutine may raise `ServiceUnavailable` if the server is unreachable or refuses to
write (D6).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from goald.domain.slots import SlotRange
from goald.domain.streams import OutboundStream


@dataclass(frozen=True, slots=True)
class Message:
    """An outbound message. `payload` is JSON text."""

    stream: OutboundStream
    payload: str


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that cannot be processed (D4)."""

    stream: str
    """The name of the event stream that contained the event."""
    entry_id: bytes
    event: bytes
    """The bytes of the event as received; empty if the entry had none."""
    reason: str
    delivery_attempts: int


@dataclass(frozen=True, slots=True)
class PublishedWatermark:
    """How far the messages of a range of slots have been published."""

    slots: SlotRange
    number: int
    """The greatest number of an outbox row that was published."""


@dataclass(frozen=True, slots=True)
class ServerIdentity:
    """The server that holds the outbound streams, and its record for a range of slots (D10)."""

    run_id: str
    """Identifies this run of the server; empty if the server does not say."""
    recorded: str | None
    """The recorded identity: what `begin_republish` or `complete_republish` last stored. None
    if this server has no record of the slots."""
    published: int
    """The number of the published watermark; 0 if there is none."""


class Outbound(Protocol):
    """Publishes messages and dead letters."""

    async def publish(
        self, messages: Sequence[Message], position: PublishedWatermark | None = None
    ) -> int:
        """Append each message to its stream, in order, then store the watermark.

        Returns the number of the previous watermark, 0 if there was none or none is given.
        Returns only after the server has accepted every message. After an error some messages
        may be appended; send all of them again.
        """

    async def dead_letter(self, dead_letters: Sequence[DeadLetter]) -> None:
        """Append dead letters. Returns and fails as `publish` does.

        If the dead letters are larger than their bound, the oldest of the tenant that has most
        bytes are deleted, one after another, so a tenant that has less than the mean loses none
        (D5, D8). Those whose tenant cannot be read count as the ones of one tenant."""

    async def server_identity(self, slots: SlotRange) -> ServerIdentity:
        """Read the identity of the server that `publish` wrote to last, or would write to."""

    async def begin_republish(self, slots: SlotRange, token: str) -> None:
        """Record `token` as the identity of the server, before published messages are sent
        again."""

    async def complete_republish(self, position: PublishedWatermark, token: str, name: str) -> bool:
        """Record `name` as the identity, and raise the watermark to at least `position`. Atomic.

        Returns False, with nothing changed, if the recorded identity is no longer `token`: what
        was sent since `begin_republish` may be lost.
        """

    async def close(self) -> None:
        """Close the connection."""
