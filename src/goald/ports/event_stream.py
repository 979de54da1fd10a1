"""One inbound event stream, read under a lease.

Times are microseconds since the Unix epoch. Every coroutine may raise `ServiceUnavailable`
when its server cannot be reached or refuses to write (D6).
"""

from typing import NamedTuple, Protocol, TypeAlias

from goald.domain.leases import StreamLease

RawEntry: TypeAlias = tuple[bytes, list[bytes]]
"""A stream entry, `(id, [field, value, ...])`. The Redis adapter passes on the two-element lists
that the server's reply holds, so that no object is made for each entry."""


class ReaderStart(NamedTuple):
    """What is known of those who read a stream before."""

    starts: int
    """How many have started since anything was acknowledged, this one included."""
    was_isolating: bool
    """The last of them ended while it tried an entry alone."""


class EventStream(Protocol):
    """One inbound stream, read under one lease (design 2, step 1).

    Its consumer group keeps one thing: up to where everything is acknowledged. Reading
    changes nothing; who holds the stream remembers how far it has read, and a new holder
    begins where the acknowledged ends.

    What needs the lease raises LeaseLost, having done nothing, where a later epoch has the
    stream, and ServerReplaced where the stream is not the one that was claimed: Redis came
    back as another or with less, or the group was removed or moved (D10). Then it is to be
    claimed again, under the same lease, and read from where that says.
    """

    @property
    def name(self) -> str:
        """The stream's key, such as `goald:events:0`."""

    async def epoch(self) -> int:
        """Under which the stream was claimed last; 0 for none. Needs no lease."""

    async def fence(self, lease: StreamLease) -> bytes:
        """Make this lease's epoch the one that may read, and make the group if it is not
        there; the id of the last entry acknowledged, `b"0-0"` for none. Raises LeaseLost if
        a later epoch has claimed the stream already."""

    async def read(self, after: bytes, count: int) -> list[RawEntry]:
        """Up to `count` entries with ids above `after`, in order. Atomic with the check of
        the epoch, which it needs. Never blocks."""

    async def wait(self, after: bytes, seconds: float) -> bool:
        """Wait until there is an entry above `after`, at most so long; whether there is."""

    async def acknowledge(self, up_to: bytes, entries: int) -> None:
        """Acknowledge everything up to and including this id (step 6), `entries` more than
        before. Needs the epoch. After an error it may be repeated as it was."""

    async def count_lost(self, after: bytes) -> int:
        """How many entries above `after`, up to which all was read, are gone unread: since
        the last call, and some perhaps only when all that is there has been read. Where the
        server does not count what was added (Redis before 7) it is told only that some are
        gone, as 1, and only where none is left. Needs the epoch."""

    async def count_start(self) -> ReaderStart:
        """Count a start of the reader at what is acknowledged (D4). Needs the epoch, as the
        next three do."""

    async def count_attempt(self, entry_id: bytes) -> int:
        """Count a try of this entry; how many there were, this one included. Another entry
        is counted from 1 on."""

    async def clear_attempts(self) -> None:
        """Forget the tries: the reader has not died of the entry."""

    async def clear_starts(self) -> None:
        """Forget tries and starts: the reader ends, and of no entry."""

    async def close(self) -> None: ...
