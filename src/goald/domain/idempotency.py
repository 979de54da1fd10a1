"""Idempotency keys: a request that is sent again with the same key has no second effect."""

from dataclasses import dataclass
from enum import Enum, auto


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """The response that was stored for an idempotency key."""

    status: int
    body: bytes


class IdempotencyState(Enum):
    """The state of a request that has no stored response."""

    STARTED = auto()
    """The caller must execute the request."""
    IN_FLIGHT = auto()
    """Another caller is executing the same request."""
    KEY_REUSED = auto()
    """The key was used for another request."""
