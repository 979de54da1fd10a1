"""The outbound streams: exits, notices, dead letters.

Times are microseconds since the Unix epoch. Every coroutine may raise `ServiceUnavailable`
when its server cannot be reached or refuses to write (D6).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from goald.domain.slots import SlotRange
from goald.domain.streams import OutboundStream


@dataclass(frozen=True, slots=True)
class Message:
    """An outbound event. `payload` is JSON text."""

    stream: OutboundStream
    payload: str


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What could not be processed, for `goald:dead` (D4)."""

    stream: str
    entry_id: bytes
    event: bytes
    reason: str
    delivery_attempts: int


@dataclass(frozen=True, slots=True)
class PublishedWatermark:
    """How far the messages of a range of slots have been published."""

    slots: SlotRange
    number: int
    """The greatest number of an outbox row."""


@dataclass(frozen=True, slots=True)
class ServerIdentity:
    """What the server of the outbound streams says to a range of slots (D10)."""

    run_id: str
    """Of this run of the server, and of no other; empty where it does not say."""
    recorded: str | None
    """What `confirm` was last given; None where this server has never heard of the slots."""
    published: int
    """The number that `publish` last noted; 0 for none."""


class Outbound(Protocol):
    """Where exits, notices and dead letters go."""

    async def publish(
        self, messages: Sequence[Message], position: PublishedWatermark | None = None
    ) -> int:
        """Append each message to its stream, in order, and note the position after them; the
        number that was noted before, 0 for none. Returns only when Redis has taken every one;
        after an error some may have been taken, and the whole is sent again."""

    async def dead_letter(self, letters: Sequence[DeadLetter]) -> None:
        """Append to `goald:dead`; returns and fails as `publish` does."""

    async def server_identity(self, slots: SlotRange) -> ServerIdentity:
        """Of the server that `publish` last wrote to, or would write to next."""

    async def begin_republish(self, slots: SlotRange, token: str) -> None:
        """Before what was published is published again: the server is known as `token`."""

    async def complete_republish(self, position: PublishedWatermark, token: str, name: str) -> bool:
        """After it: the server is known as `name` from now on, and the position is at least
        this. False, with nothing changed, where it is no longer known as `token`: what was
        published since may be lost again."""

    async def close(self) -> None: ...
