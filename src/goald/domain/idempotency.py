"""Requests that carry a key, so that sending them again does nothing twice."""

from dataclasses import dataclass
from enum import Enum, auto


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered under an idempotency key."""

    status: int
    body: bytes


class IdempotencyRecord(Enum):
    """How a request stands that has no answer yet."""

    BEGUN = auto()
    """It is this caller's to do, now."""
    UNDER_WAY = auto()
    """Another call of the same request is doing it."""
    ANOTHER = auto()
    """The key belongs to another request."""
