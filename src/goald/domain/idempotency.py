"""Requests that carry a key, so that sending them again does nothing twice."""

from dataclasses import dataclass
from enum import Enum, auto


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """What was answered under an idempotency key."""

    status: int
    body: bytes


class IdempotencyState(Enum):
    """How a request stands that has no answer yet."""

    STARTED = auto()
    """It is this caller's to do, now."""
    IN_FLIGHT = auto()
    """Another call of the same request is doing it."""
    KEY_REUSED = auto()
    """The key belongs to another request."""
