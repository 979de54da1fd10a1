"""The outbox: messages that are committed together with their cause, and published after it.

Times are microseconds since the Unix epoch. Every coroutine may raise `ServiceUnavailable` if
the server is unreachable or refuses to write (D6).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from goald.domain.leases import SlotLease
from goald.domain.streams import OutboundStream
from goald.ports.outbound import Message


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A message to be committed."""

    effect: int
    """Index of the effect that causes the message. The row is written only if the effect has
    inserted or updated its enrollment."""
    message_id: str
    stream: OutboundStream
    payload: str
    """JSON text."""


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A committed outbox row. `number` identifies it and orders it."""

    number: int
    message: Message


@dataclass(frozen=True, slots=True)
class DatabaseIdentity:
    """Which database holds the outbox."""

    name: str
    """Changes after a restore or a failover."""
    now_us: int
    """The time on the database's clock."""


class Outbox(Protocol):
    """The messages of a range of slots, and which of them are published.

    Methods that return lists return pages, bounded in rows and bytes and ordered by number: rows
    with numbers greater than `after`. An empty page is the end.
    """

    async def unpublished(self, lease: SlotLease, after: int = 0) -> list[StoredMessage]:
        """A page of rows that are not marked as published."""

    async def mark_published(self, lease: SlotLease, numbers: Sequence[int]) -> None:
        """Mark rows as published. A crash may lose the mark, because publishing a message twice
        is allowed."""

    async def delete_published(
        self, lease: SlotLease, older_than_s: float, waiting_s: float = 0.0
    ) -> int:
        """Delete a bounded number of rows that were published more than `older_than_s` ago, and
        return how many. Keeps exits that wait for an acknowledgement until they are older than
        `waiting_s`."""

    async def last_published(self, lease: SlotLease) -> int:
        """The greatest number of a published row about a contact; 0 if there is none."""

    async def published(
        self, lease: SlotLease, since_us: int, until_us: int, after: int = 0
    ) -> list[StoredMessage]:
        """A page of rows that were published between two times of the database's clock. Leaves
        out redacted rows (D10)."""

    async def due_exits(
        self, lease: SlotLease, after_s: float, waiting_s: float
    ) -> list[StoredMessage]:
        """A page of exits to publish again, ordered by the time of their publication.

        These were published more than `after_s` ago, are not acknowledged, and are not older
        than `waiting_s`. Other exits published that long ago stop waiting.
        """

    async def mark_republished(self, lease: SlotLease, numbers: Sequence[int]) -> None:
        """Set the publication time of these rows to now, so that they are due later."""

    async def database_identity(self) -> DatabaseIdentity:
        """Which database this is. Raises ServerReplaced if it is not the database that this
        process has used, or if it lost data (D10)."""
