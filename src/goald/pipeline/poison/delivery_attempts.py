"""Tries: an event that a process dies of each time is found, and set aside (D4).

Redis counts no deliveries here (decision 0010), so whoever hands over counts them: how often
a shard died while it had a part. Parts under suspicion travel one at a time, in ever smaller
pieces, and from the fourth time on entry by entry, with nothing else at the shard. So what is
set aside after five times was alone at least twice.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from goald import _native
from goald.domain.errors import ServiceUnavailable
from goald.ports.outbound import DeadLetter

TRIES = 5
"""An entry under which a process died so often is dead."""
TRIES_TOGETHER = 3
"""What was delivered so often, and is to be delivered again, goes entry by entry."""
PIECES = 5
"""Halvings of a part between its second try and its third."""


def pieces(buffer: bytes, tries: int) -> list[bytes]:
    """A part that was tried so often, in the pieces in which it goes on, in order."""
    if tries > TRIES_TOGETHER - 1:
        return list(_halved(buffer, -1))
    return list(_halved(buffer, PIECES if tries == TRIES_TOGETHER - 1 else 0))


def _halved(buffer: bytes, times: int) -> Iterator[bytes]:
    halves = _native.buffer_halves(buffer) if times else None
    if halves is None:
        yield buffer
        return
    for half in halves:
        yield from _halved(half, times - 1)


def letters(stream: str, buffer: bytes) -> list[DeadLetter]:
    """The dead letters of a part that was alone in the end."""
    reason = f"a shard ended {TRIES} times while it had this event, at last alone"
    return [
        DeadLetter(stream, entry_id, event, reason, delivery_attempts=TRIES)
        for entry_id, event in _native.buffer_entries(buffer)
    ]


def tenant_of(buffer: bytes) -> str:
    """Whose the event of a part is that was alone."""
    return _native.Engine().contacts_of([buffer])[0][0]


class Isolation:
    """Who works beside whom at a shard: an event that is tried alone has nothing beside it."""

    def __init__(self) -> None:
        self._within = 0
        self._is_claimed = False
        self._left = asyncio.Event()

    @asynccontextmanager
    async def work(self, *, alone: bool) -> AsyncIterator[None]:
        """For the time of some work. Who wants to be alone waits until those within are done;
        meanwhile others are refused with ServiceUnavailable, and may come again."""
        if self._is_claimed:
            raise ServiceUnavailable("an event is being tried alone")
        self._is_claimed = alone
        try:
            while alone and self._within:
                self._left.clear()
                await self._left.wait()
            self._within += 1
            try:
                yield
            finally:
                self._within -= 1
                self._left.set()
        finally:
            if alone:
                self._is_claimed = False
