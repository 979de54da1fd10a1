"""The merges of contacts whose enrollments have not all moved (E21)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PendingTransfers:
    """Counts and ages in seconds; an age is 0 if there is none."""

    waiting: int = 0
    """Merges whose enrollments are moving, or will be moved in seconds."""
    waiting_oldest_s: float = 0.0
    refused: int = 0
    """Merges whose enrollments Postgres refuses to move."""
    refused_oldest_s: float = 0.0
    """Since the oldest was first refused."""
    forwards_to_deleted: int = 0
    """Forwards that a deletion should have ended."""
    forwards_to_deleted_oldest_s: float = 0.0
