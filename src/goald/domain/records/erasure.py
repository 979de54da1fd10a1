"""The erasure of deleted contacts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

PSEUDONYM_PREFIX: Final = "erased:"
"""Starts the contact id in the rows of a deleted contact. A random UUID follows."""


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A deleted contact."""

    deleted_at: int
    """The greatest time of its deletions, in microseconds."""
    pseudonym: str | None
    """The contact in its erased rows; None once the erasure is finished."""

    def covers(self, began_at: int) -> bool:
        """Whether an enrollment that began at this time is of the deleted contact."""
        return began_at <= self.deleted_at


def contact_of_row(stored: str, contacts: Iterable[tuple[str, Tombstone | None]]) -> str:
    """The contact of a row that contains `stored`, as events identify it. `contacts`: those of the
    events that refer to the row, with their tombstones.

    If the row is erased, returns the contact that has its pseudonym. Pseudonyms are forgotten when
    an erasure is finished, so then returns the first deleted contact without one. Otherwise
    returns `stored`."""
    if stored.startswith(PSEUDONYM_PREFIX):
        deleted = [(contact, tombstone) for contact, tombstone in contacts if tombstone is not None]
        for pseudonym in (stored, None):
            for contact, tombstone in deleted:
                if tombstone.pseudonym == pseudonym:
                    return contact
    return stored


@dataclass(frozen=True, slots=True)
class ErasableEntry:
    """An entry of a stream: its id, when it was added (microseconds), and its event."""

    id: str
    added_at: int
    event: bytes


@dataclass(frozen=True, slots=True)
class Subject:
    """The subject of an entry. Fields that cannot be read are None."""

    tenant: str
    contact: str | None = None
    enrollment: str | None = None
    time: int = 0
    """Of the event, in microseconds; 0 if it cannot be read."""


@dataclass(frozen=True, slots=True)
class ErasurePage:
    """The result of one page of an erasure."""

    rows: int = 0
    contacts: int = 0
    """Contacts of which no row is left."""


@dataclass(frozen=True, slots=True)
class DueErasures:
    """Erasures that were requested early enough to be finished."""

    marks: Sequence[bytes]
    before_us: int
    """Requested at or before this time, in microseconds."""
    has_more: bool = False
    """Whether more are due."""


@dataclass(frozen=True, slots=True)
class PendingErasures:
    """The erasures that are not finished."""

    count: int
    oldest_s: float
    """Seconds since the oldest was requested; 0 if there is none."""
    in_tables: int = 0
    """Those whose contacts rows may still contain."""
    in_tables_oldest_s: float = 0.0
