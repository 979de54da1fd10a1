"""Router: find each event's slot in its raw bytes, and pack a buffer for each shard."""

from collections.abc import Sequence
from dataclasses import dataclass

from goald import _native
from goald.domain.slots import SlotRange, shard_of_slot
from goald.ports.event_stream import RawEntry
from goald.ports.outbound import DeadLetter

LETTER_BYTES = 512
"""What a dead letter weighs beside its event, about."""


@dataclass(frozen=True, slots=True)
class RoutedBatch:
    """What one read became: buffers in order within each shard, and what no shard can take."""

    buffers: list[tuple[int, bytes, int]]
    dead: list[DeadLetter]
    size: int
    """Bytes of both."""


class Router:
    """Routes the entries of one stream to the shards that own these ranges of slots."""

    def __init__(self, stream: str, ranges: Sequence[SlotRange], *, max_buffer: int) -> None:
        self._stream = stream
        self._router = _native.Router(shard_of_slot(list(ranges)), max_buffer=max_buffer)

    def __call__(self, entries: list[RawEntry]) -> RoutedBatch:
        """Router what a group read returned. An event in which no tenant and contact can be
        found is its producer's fault and becomes a dead letter (D4)."""
        routed = self._router.route(entries)
        buffers, rejects = routed.buffers, routed.rejects
        return RoutedBatch(
            buffers=buffers,
            dead=[
                DeadLetter(self._stream, entry_id, event, reason, delivery_attempts=1)
                for entry_id, reason, event in rejects
            ],
            size=sum(len(buffer) for _, buffer, _ in buffers)
            + sum(len(event) + LETTER_BYTES for _, _, event in rejects),
        )
