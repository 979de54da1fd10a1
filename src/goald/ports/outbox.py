"""Messages committed together with their cause, and published after it.

Times are microseconds since the Unix epoch. Every coroutine may raise `ServiceUnavailable`
when its server cannot be reached or refuses to write (D6).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from goald.domain.leases import SlotLease
from goald.domain.streams import OutboundStream
from goald.ports.outbound import Message


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A message to be committed with what it tells of, and published after it.

    `effect`: index of the effect that must take hold for the row to be written.
    """

    effect: int
    message_id: str
    stream: OutboundStream
    payload: str


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """An outbox row as committed: `number` is what marks it published."""

    number: int
    message: Message


@dataclass(frozen=True, slots=True)
class DatabaseIdentity:
    """Where the outbox is."""

    name: str
    """Another one after a restore or a failover."""
    now_us: int
    """Its clock."""


class Outbox(Protocol):
    """What was committed to be published, and what of it has been.

    Lists come in pages, bounded in rows and in bytes, in the order of their numbers: those
    above `after`; an empty one is the end.
    """

    async def unpublished(self, lease: SlotLease, after: int = 0) -> list[StoredMessage]:
        """A page of the outbox rows of the slots that nobody has marked as published."""

    async def mark_published(self, lease: SlotLease, numbers: Sequence[int]) -> None:
        """Mark outbox rows. May be lost in a crash: publishing twice is allowed (step 5)."""

    async def delete_published(
        self, lease: SlotLease, older_than_s: float, waiting_s: float = 0.0
    ) -> int:
        """Delete rows of the slots published longer ago than this, a bounded number of them; how
        many. Exits that wait to be acknowledged stay until they are older than `waiting_s`."""

    async def last_published(self, lease: SlotLease) -> int:
        """The greatest number of a row that a holder of the slots has published; 0 where none
        is left."""

    async def published(
        self, lease: SlotLease, since_us: int, until_us: int, after: int = 0
    ) -> list[StoredMessage]:
        """A page of the rows marked as published between these times of the database's clock,
        those blanked left out (D10)."""

    async def due_exits(
        self, lease: SlotLease, after_s: float, waiting_s: float
    ) -> list[StoredMessage]:
        """A page of the exits that were published longer than `after_s` ago, that no engine
        has acknowledged, and that are not older than `waiting_s`; those published longest ago
        first. Others that were published so long ago wait no longer (3.2)."""

    async def mark_republished(self, lease: SlotLease, numbers: Sequence[int]) -> None:
        """Count the time until these exits are due from now on."""

    async def database_identity(self) -> DatabaseIdentity:
        """Which database this is. Raises ServerReplaced where it is not the one, or has less
        than the one, that this process has been working with (D10)."""
