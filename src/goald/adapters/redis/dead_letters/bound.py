"""Keeps `goald:dead` within a bound in bytes, with a share for each tenant (D5, D8)."""

from collections.abc import Iterator, Sequence

from goald.adapters.redis.dead_letters.scripts import KEYS, MAKE_ROOM
from goald.ports.outbound import DeadLetter
from goald.redis_wire import Wire, checked

_STEP = 16
"""The stream is checked after each sixteenth of the bound, and trimmed to a sixteenth below it."""
_OVERHEAD_BYTES = 240
"""The approximate overhead of an entry, as in the scripts."""
_BYTES_PER_CALL = 8 << 20
"""The approximate size that one call counts, deletes or copies. Redis is blocked meanwhile."""
_ENTRIES_PER_CALL = 2_000
_BATCH_ENTRIES = 1_000


class DeadBound:
    """Keeps `goald:dead` within a number of bytes, approximately. If it is larger, the oldest dead
    letters of the tenant that has most go first."""

    def __init__(self, wire: Wire, max_bytes: int) -> None:
        self._wire = wire
        self._max_bytes = max_bytes
        self._free = max_bytes // _STEP
        self._added = self._free  # so that the first call checks existing entries

    def batches(self, dead_letters: Sequence[DeadLetter]) -> Iterator[Sequence[DeadLetter]]:
        """The dead letters in order, in batches that may be added between two checks."""
        start = size = 0
        for number, dead_letter in enumerate(dead_letters):
            size += len(dead_letter.event)
            if size >= self._free or number - start + 1 >= _BATCH_ENTRIES:
                yield dead_letters[start : number + 1]
                start, size = number + 1, 0
        if start < len(dead_letters):
            yield dead_letters[start:]

    async def make_room(self, added: Sequence[DeadLetter]) -> None:
        """Call this after these dead letters were added. Checks the stream only after enough
        bytes were added. Raises ServiceUnavailable; the next call then checks the stream."""
        self._added += sum(len(dead_letter.event) + _OVERHEAD_BYTES for dead_letter in added)
        if self._added < self._free:
            return
        limits = self._max_bytes, self._free, _BYTES_PER_CALL, _ENTRIES_PER_CALL
        more = True
        while more:
            (reply,) = await self._wire.ask(("EVAL", MAKE_ROOM, len(KEYS), *KEYS, *limits))
            more = bool(checked(reply))
        self._added = 0
