"""Access to the dead letters in `goald:dead` for operators (D4)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StoredDeadLetter:
    """An entry of `goald:dead`."""

    id: str
    """The id of this entry, by which it is shown, replayed and purged."""
    stream: str
    """The event stream that the event came from."""
    entry_id: str
    """The id of the event's entry in that stream."""
    event: bytes
    """The event as the producer sent it."""
    reason: str
    delivery_attempts: int
    at: str
    """When the event was dead-lettered, RFC 3339."""


class DeadLetterStore(Protocol):
    """Reads and changes `goald:dead`. Every method may raise ServiceUnavailable."""

    async def count(self) -> int:
        """The number of dead letters."""

    async def page(
        self, limit: int, *, after: str | None = None, newest_first: bool = False
    ) -> Sequence[StoredDeadLetter]:
        """At most `limit` dead letters that follow the one with the id `after`, in the order of
        their ids, or in reverse order. `after` need not exist. Raises NotFound if `after` is not
        an id."""

    async def get(self, dead_letter_id: str) -> StoredDeadLetter:
        """One dead letter. Raises NotFound."""

    async def replay(self, dead_letter_id: str) -> str:
        """Append the event to its stream again and delete the dead letter, atomically. Returns
        the id of the new entry. Raises NotFound, also if another process replayed it first."""

    async def purge(self, *, limit: int | None = None, older_than_us: int | None = None) -> int:
        """Delete dead letters, oldest first, and return their number: at most `limit`, and only
        those dead-lettered before `older_than_us` (microseconds since the epoch). Deletes all
        if both are None."""
