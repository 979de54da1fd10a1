"""What passes between a consumer and a shard."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class ShardBatch(NamedTuple):
    """Some entries of one stream for one shard, with their place in the sequence.

    A shard takes only the next part of a stream. One that starts anew takes the part whose
    `sequence` is `floor`, the first that is not acknowledged, and goes on from there; so
    what was under way while it was down is sent again, in order, and nothing overtakes it.
    """

    stream: str
    epoch: int
    sequence: int
    floor: int
    buffer: bytes
    alone: bool = False
    """A shard may die of it: nothing else is to be under way there meanwhile."""


class Shard(Protocol):
    """A shard as a consumer sees it."""

    async def process(self, parts: Sequence[ShardBatch]) -> None:
        """Return when all that these parts caused is committed and published (D2); at once
        where there are none and the shard can take some.

        Raises OutOfSequence if a part is not the next of its stream, ShardDied if the shard's
        process ended of itself while it had them, or another RetryableError: what is not known
        to be done is to be handed over again. Raises LeaseLost if a later holder of the stream
        has been heard, BreakerOpen if the shard processes nothing until somebody looks.
        """
