"""Read: take the next entries of one stream."""

from goald.domain.errors import ServiceUnavailable
from goald.ports.event_stream import EventStream, RawEntry
from goald.settings import ReadSettings

FIRST_GUESS_BYTES = 512
"""What an entry is taken to weigh until some have been seen."""
FEWEST = 16
"""So few are asked for at least when reads fail: much less than comes within a call's time."""


class StreamReader:
    """Reads one stream in batches bounded in entries and, about, in bytes.

    It remembers how far it has read; Redis keeps how far everything is acknowledged. So a
    read that failed is simply made again, and who comes after begins at the first entry that
    is not acknowledged (D1, D2).
    """

    def __init__(self, stream: EventStream, settings: ReadSettings) -> None:
        self._stream = stream
        self._settings = settings
        self._entry_bytes = float(FIRST_GUESS_BYTES)
        self._most = settings.entries
        self._position = b"0-0"

    def begin(self, position: bytes) -> None:
        """Read on after this id."""
        self._position = position

    async def read(self, at_most: int | None = None) -> list[RawEntry]:
        """The next entries, in order; empty if there are none now. Does not wait.

        Raises LeaseLost if the stream is another's (D3), ServerReplaced if it is not what it
        was (D10), ServiceUnavailable if Redis is gone, or what was asked for is too much to come
        in time: the next read asks for half, else it would fail for ever.
        """
        try:
            entries = await self._stream.read(self._position, at_most or self._count())
        except ServiceUnavailable:
            self._most = max(FEWEST, self._most // 2)
            raise
        self._most = min(self._settings.entries, 2 * self._most)
        if entries:
            self._position = entries[-1][0]
        return entries

    async def wait(self, seconds: float) -> bool:
        """Wait until there is more to read, at most so long; whether there is."""
        return await self._stream.wait(self._position, seconds)

    async def count_lost(self) -> int:
        """How many entries went unread, as far as can be told now. Raises as `read` does."""
        return await self._stream.count_lost(self._position)

    def is_behind(self, entries: list[RawEntry]) -> bool:
        """Whether there is likely more where these entries came from: about as many as were
        asked for."""
        return len(entries) >= self._count() // 2

    def learn(self, entries: int, size: int) -> None:
        """Take in what a batch weighed. Heavier entries count at once, lighter ones slowly."""
        if entries:
            seen = size / entries
            self._entry_bytes = max(seen, 0.9 * self._entry_bytes + 0.1 * seen)

    def _count(self) -> int:
        fitting = int(self._settings.bytes / max(self._entry_bytes, 1.0))
        return max(1, min(self._settings.entries, self._most, fitting))
