"""Route: finds each event's slot in its raw bytes and packs a buffer for each shard."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from goald import _native
from goald.domain.fail_points import FailPoint
from goald.domain.slots import SlotRange, shard_of_slot
from goald.pipeline.context import ConsumerContext
from goald.ports.event_stream import RawEntry
from goald.ports.outbound import DeadLetter

DEAD_LETTER_BYTES = 512
"""Approximate size of a dead letter without its event."""


@dataclass(frozen=True, slots=True)
class RoutedBatch:
    """One read's entries: a buffer for each shard, and the entries that no shard can process."""

    buffers: list[tuple[int, bytes, int]]
    """(shard, buffer, number of entries), in order within each shard."""
    dead_letters: list[DeadLetter]
    size: int
    """Bytes of both."""

    @classmethod
    def dead(cls, dead_letter: DeadLetter) -> Self:
        """A batch of one entry that is dead-lettered instead of routed."""
        return cls(buffers=[], dead_letters=[dead_letter], size=len(dead_letter.event))


class Router:
    """Routes the entries of one stream to the shards that own these slot ranges."""

    def __init__(
        self, context: ConsumerContext, stream: str, ranges: Sequence[SlotRange], *, max_buffer: int
    ) -> None:
        """`max_buffer` is the size in bytes at which a buffer is split."""
        self._fail_point = context.fail_point
        self._stream = stream
        self._router = _native.Router(shard_of_slot(list(ranges)), max_buffer=max_buffer)

    def __call__(self, entries: list[RawEntry]) -> RoutedBatch:
        """Route the entries of one read. Blocks while Rust works.

        An event without a readable tenant and contact is its producer's fault and becomes a
        dead letter (D4).
        """
        routed = self._router.route(entries)
        self._fail_point(FailPoint.ROUTED)
        buffers, rejects = routed.buffers, routed.rejects
        return RoutedBatch(
            buffers=buffers,
            dead_letters=[
                DeadLetter(self._stream, entry_id, event, reason, delivery_attempts=1)
                for entry_id, reason, event in rejects
            ],
            size=sum(len(buffer) for _, buffer, _ in buffers)
            + sum(len(event) + DEAD_LETTER_BYTES for _, _, event in rejects),
        )
