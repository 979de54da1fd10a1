"""The erasure of deleted contacts."""

from dataclasses import dataclass
from typing import Final

PSEUDONYM_PREFIX: Final = "erased:"
"""Starts the contact id in the rows of a deleted contact. A random UUID follows."""


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
class PendingErasures:
    """The erasures that are not finished."""

    count: int
    oldest_s: float
    """Seconds since the oldest was requested; 0 if there is none."""
