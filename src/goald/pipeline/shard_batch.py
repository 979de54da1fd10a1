"""The interface between a consumer and a shard."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


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


class Shard(Protocol):
    """The calls that a consumer makes to a shard."""

    async def process(self, batches: Sequence[ShardBatch]) -> None:
        """Return when all effects of these batches are committed and published (D2). Without
        batches, return immediately if the shard is ready.

        Raises OutOfSequence if a batch is not the next of its stream, ShardDied if the shard's
        process failed while it had the batches, or another RetryableError; the caller must
        then resend every batch that is not known to be processed. Raises LeaseLost if a
        later holder of the stream has sent a batch, and BreakerOpen if the shard has stopped
        processing because too many events in a row failed.
        """
