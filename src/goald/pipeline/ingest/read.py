"""Read: fetches the next entries of one stream."""

from goald.domain.errors import ServiceUnavailable
from goald.ports.event_stream import EventStream, RawEntry
from goald.settings import ReadSettings

FIRST_GUESS_BYTES = 512
"""Assumed size of an entry until some have been read."""
MIN_ENTRIES = 16
"""A read that fails is retried with half the entries, but never with fewer than this."""


class StreamReader:
    """Reads one stream in batches bounded in entries and, approximately, in bytes.

    The reader keeps its position in memory; Redis keeps the acknowledged position. So a read
    that failed is repeated, and the next holder of the stream starts at the first entry that is
    not acknowledged (D1, D2).
    """

    def __init__(self, stream: EventStream, settings: ReadSettings) -> None:
        self._stream = stream
        self._settings = settings
        self._entry_bytes = float(FIRST_GUESS_BYTES)
        self._max_entries = settings.entries
        self._position = b"0-0"
        self._until_ms = 0

    @property
    def until_ms(self) -> int:
        """By the clock of Redis: the reads have returned all entries that it received until then
        (X6)."""
        return self._until_ms

    @property
    def pause(self) -> float:
        """Seconds between two reads of a stream that is not behind."""
        return self._settings.pause

    def seek(self, position: bytes) -> None:
        """Continue after this entry id."""
        self._position = position

    async def read(self, count: int | None = None) -> list[RawEntry]:
        """Return the next entries in order, at most `count`; an empty list if there are none.
        Does not wait.

        Raises LeaseLost if another consumer holds the stream (D3), ServerReplaced if Redis was
        replaced or lost data (D10), and ServiceUnavailable if Redis is unavailable or the
        entries did not arrive in time. After the latter, the next read requests half as many
        entries; otherwise a stream of large entries would never be read.
        """
        count = count or self._count()
        try:
            entries = await self._stream.read(self._position, count)
        except ServiceUnavailable:
            self._max_entries = max(MIN_ENTRIES, self._max_entries // 2)
            raise
        self._max_entries = min(self._settings.entries, 2 * self._max_entries)
        if entries:
            self._position = entries[-1][0]
        # Further entries may have the time of the last one, or that of the read.
        self._until_ms = self._stream.read_at_ms - 1
        if len(entries) == count:
            self._until_ms = min(self._until_ms, int(entries[-1][0].partition(b"-")[0]) - 1)
        return entries

    async def wait(self, seconds: float) -> bool:
        """Wait for new entries until the timeout; return whether there are any."""
        return await self._stream.wait(self._position, seconds)

    async def count_lost(self) -> int:
        """Return how many entries were trimmed unread, as far as is known. Raises as `read`."""
        return await self._stream.count_lost(self._position)

    def is_behind(self, entries: list[RawEntry]) -> bool:
        """Whether the stream likely has more: the read returned about as many as requested."""
        return len(entries) >= self._count() // 2

    def observe_size(self, entries: int, size: int) -> None:
        """Update the estimated entry size from a batch: upwards immediately, downwards slowly."""
        if entries:
            observed = size / entries
            self._entry_bytes = max(observed, 0.9 * self._entry_bytes + 0.1 * observed)

    def _count(self) -> int:
        fitting = int(self._settings.bytes / max(self._entry_bytes, 1.0))
        return max(1, min(self._settings.entries, self._max_entries, fitting))
