"""The interface between a consumer and a shard."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Origin(NamedTuple):
    """How events came to the shard of a contact that continues others (E21)."""

    contact: str = ""
    """The merged contact for which Redis received them, all of one tenant. Empty: Redis received
    them for the contact that they name."""
    merges: tuple[int, ...] = ()
    """The merges that moved their contacts after Redis received the events, each by when Redis
    received it, in order. Enrollments that did not move with them had another contact then."""


class ShardBatch(NamedTuple):
    """Entries of one stream for one shard, with their position in the stream's sequence.

    A shard accepts only the next batch of a stream. A shard that restarted accepts the batch
    whose `sequence` equals its `first_unacknowledged` and continues from there, so batches
    that were in flight while it was down are sent again, in order, and none overtakes another.
    """

    stream: str
    epoch: int
    sequence: int
    first_unacknowledged: int
    """The first sequence of the stream that the sender does not know to be processed."""
    buffer: bytes
    exclusive: bool = False
    """The batch may kill the shard, so the shard must process nothing else at the same time."""
    may_be_deferred: bool = False
    """The call need not wait for events of the batch that are deferred (D8)."""
    origin: Origin | None = None
    """If a consumer passed on the events, because contacts were merged (E21)."""


class Forwarded(NamedTuple):
    """Events of merged contacts, as events of the contacts that continue them (E21)."""

    slot: int
    """Of all these contacts."""
    buffer: bytes
    origin: Origin = Origin()


class Processed(NamedTuple):
    """The result of a call."""

    deferred: Sequence[int] = ()
    """The indexes of the batches with deferred events."""
    forwarded: Sequence[tuple[int, Sequence[Forwarded]]] = ()
    """By the index of a batch: the events to pass on, in order. The batch is not processed until
    these are."""


class StreamMark(NamedTuple):
    """How far a consumer has dispatched a stream to one shard (X6)."""

    stream: str
    epoch: int
    sequence: int
    """The next sequence: the batches before it have all entries until `at_ms`."""
    first_unacknowledged: int
    """As in `ShardBatch`: the batches before it are processed."""
    at_ms: int
    """By the clock of Redis: it received no further entry until then."""


class Shard(Protocol):
    """The calls that a consumer makes to a shard."""

    async def process(self, batches: Sequence[ShardBatch]) -> Processed:
        """Return when all effects of these batches are committed and published (D2), except of
        deferred events of those that may be deferred: send the batches that have such events left
        again to wait for them; and except of events that the caller must pass on (E21). Without
        batches, return immediately if the shard is ready.

        Raises OutOfSequence if a batch is not the next of its stream, ShardDied if the shard's
        process failed while it had the batches, or another RetryableError; the caller must
        then resend every batch that is not known to be processed. Raises LeaseLost if a
        later holder of the stream has sent a batch, and BreakerOpen if the shard has stopped
        processing because too many events in a row failed.
        """

    async def mark(self, marks: Sequence[StreamMark]) -> bool:
        """Take marks, whose batches may still arrive. Returns immediately, whether the shard needs
        marks: it runs workflows, so timers wait for them. Raises RetryableError; the next marks
        replace these.
        """
