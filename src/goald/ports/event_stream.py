"""One inbound event stream, read under a lease.

Every coroutine may raise `ServiceUnavailable` if the server is unreachable or refuses to
write (D6).
"""

from typing import NamedTuple, Protocol, TypeAlias

from goald.domain.leases import StreamLease

RawEntry: TypeAlias = tuple[bytes, list[bytes]]
"""A stream entry, `(id, [field, value, ...])`. The Redis adapter passes on the two-element lists
of the server's reply, so that it creates no object for each entry."""


class ReaderStart(NamedTuple):
    """The record of the readers of a stream at its acknowledged position."""

    starts: int
    """How many readers have started at this position, including this one."""
    was_isolating: bool
    """True if the previous reader ended while an entry was delivered exclusively."""


class EventStream(Protocol):
    """One inbound stream with one consumer group.

    The group stores one position: everything up to it is acknowledged. Reading changes
    nothing. The reader remembers how far it has read, and a new reader starts at the
    acknowledged position.

    Methods marked "fenced" check the epoch atomically with their effect. They raise LeaseLost,
    with nothing done, if a later epoch has fenced the stream. They raise ServerReplaced if the
    stream is another than the fenced one: Redis was replaced or lost data, or the group was
    removed or moved (D10). After ServerReplaced, call `fence` again with the same lease, and
    read from the position that it returns.
    """

    @property
    def name(self) -> str:
        """The name of the stream, which its entries' dead letters carry."""

    @property
    def read_at_ms(self) -> int:
        """By the server's clock: when it executed the last `read` that returned, at the latest. It
        is taken in the same transaction and before the entries, so an entry that is added after the
        read has an id of this time or a later one. 0 before the first read."""

    async def epoch(self) -> int:
        """The epoch that last fenced the stream; 0 if there is none. Not fenced."""

    async def fence(self, lease: StreamLease) -> bytes:
        """Allow only the lease's epoch to read, and create the group if needed.

        Returns the id of the last acknowledged entry, `b"0-0"` if there is none. Repeating the
        call is harmless. Raises LeaseLost if a later epoch has fenced the stream.
        """

    async def read(self, after: bytes, count: int) -> list[RawEntry]:
        """Read up to `count` entries with ids greater than `after`, in order. Fenced. Never
        blocks."""

    async def wait(self, after: bytes, seconds: float) -> bool:
        """Block until there is an entry with an id greater than `after`, or for at most
        `seconds`. Returns whether there is one. Not fenced."""

    async def acknowledge(self, up_to: bytes, entries: int) -> None:
        """Acknowledge all entries up to and including this id; `entries` is how many they are
        since the last acknowledgement. Fenced. After an error, repeat the same call."""

    async def count_lost(self, after: bytes) -> int:
        """Count entries that were deleted before they were read. Fenced.

        `after` is the position up to which everything was read. Counts the losses since the
        last call; some are only found after all present entries have been read. If the server
        does not count added entries (Redis before 7), a loss is reported as 1, and only if no
        entry is left.
        """

    async def count_start(self) -> ReaderStart:
        """Count a start of the reader at the acknowledged position (D4). Fenced."""

    async def count_attempt(self, entry_id: bytes) -> int:
        """Count a delivery attempt of this entry, and return the number of its attempts
        including this one. An attempt of another entry resets the count. Fenced."""

    async def clear_attempts(self) -> None:
        """Clear the delivery attempts, because the entry did not end the reader. Fenced."""

    async def clear_starts(self) -> None:
        """Clear attempts and starts, because the reader ends for a reason other than an
        entry. Fenced."""

    async def close(self) -> None:
        """Close the connections."""
