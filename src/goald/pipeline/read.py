"""Read: take the next entries of one stream, those never acknowledged first."""

from goald.ports import EventStream, RawEntry
from goald.settings import ReadSettings

FIRST_GUESS_BYTES = 512
"""What an entry is taken to weigh until some have been seen."""


class Reader:
    """Reads one stream in batches bounded in entries and, about, in bytes.

    What was delivered before and never acknowledged comes first, and again after a read
    that failed: its reply may have been lost on the way, with the entries in it.
    """

    def __init__(self, stream: EventStream, settings: ReadSettings) -> None:
        self._stream = stream
        self._settings = settings
        self._entry_bytes = float(FIRST_GUESS_BYTES)
        self._last = b"0"
        self._emptying_pending = True

    def is_behind(self, entries: list[RawEntry]) -> bool:
        """Whether there is likely more where these entries came from: about as many as were
        asked for."""
        return self._emptying_pending or len(entries) >= self._count() // 2

    async def read(self) -> list[RawEntry]:
        """The next entries, in order; empty if there are none now. Does not wait.

        Raises LeaseLost if the stream is another's (D3), ServiceUnavailable if Redis is gone.
        """
        count = self._count()
        if self._emptying_pending:
            entries = await self._stream.read_pending(self._last, count)
            self._emptying_pending = bool(entries)
            if entries:
                return self._seen(entries)
        try:
            entries = await self._stream.read_new(count)
        except BaseException:
            self._emptying_pending = True
            raise
        return self._seen(entries)

    def learn(self, entries: int, size: int) -> None:
        """Take in what a batch weighed. Heavier entries count at once, lighter ones slowly."""
        if entries:
            seen = size / entries
            self._entry_bytes = max(seen, 0.9 * self._entry_bytes + 0.1 * seen)

    def _count(self) -> int:
        fitting = int(self._settings.bytes / max(self._entry_bytes, 1.0))
        return max(1, min(self._settings.entries, fitting))

    def _seen(self, entries: list[RawEntry]) -> list[RawEntry]:
        if entries:
            self._last = entries[-1][0]
        return entries
