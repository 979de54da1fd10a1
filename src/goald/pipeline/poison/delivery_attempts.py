"""Delivery attempts: finds the event that kills a shard each time it is delivered (D4).

Redis keeps no delivery counts (docs/decisions/0010), so the dispatcher counts how often a shard
died while it had a batch. Suspect batches are sent one at a time and in ever smaller pieces.
After MAX_SHARED_ATTEMPTS, they are sent entry by entry, with nothing else in flight at the shard.
So an event that reaches MAX_ATTEMPTS was delivered alone at least twice.
"""

from collections.abc import Iterator

from goald import _native
from goald.ports.outbound import DeadLetter

MAX_ATTEMPTS = 5
"""An event during which a process died this often is dead-lettered."""
MAX_SHARED_ATTEMPTS = 3
"""A batch that was attempted this often is delivered entry by entry from then on."""
HALVINGS = 5
"""How often a batch is halved between its second attempt and its third."""


def split(buffer: bytes, attempts: int) -> list[bytes]:
    """Return the pieces, in order, in which a batch is sent again after this many attempts."""
    if attempts >= MAX_SHARED_ATTEMPTS:
        return list(_halves(buffer, -1))
    return list(_halves(buffer, HALVINGS if attempts == MAX_SHARED_ATTEMPTS - 1 else 0))


def _halves(buffer: bytes, times: int) -> Iterator[bytes]:
    """Halve a buffer this many times; with a negative number, down to single entries."""
    halves = _native.buffer_halves(buffer) if times else None
    if halves is None:
        yield buffer
        return
    for half in halves:
        yield from _halves(half, times - 1)


def dead_letters(stream: str, buffer: bytes) -> list[DeadLetter]:
    """Return the dead letters of a batch that was attempted MAX_ATTEMPTS times."""
    reason = f"a shard died {MAX_ATTEMPTS} times while it processed this event, at last alone"
    return [
        DeadLetter(stream, entry_id, event, reason, delivery_attempts=MAX_ATTEMPTS)
        for entry_id, event in _native.buffer_entries(buffer)
    ]


def tenant_of(buffer: bytes) -> str:
    """Return the tenant of a batch of one entry."""
    return _native.Matcher().contacts_of([buffer])[0][0]
