"""How many entries a stream was given up to a position, and how many of them went unread."""

from collections.abc import Mapping
from typing import Any

from goald.adapters.redis.events.entry_ids import order


class Account:
    """What one reader has had of a stream, against what the server says it was given.

    Redis from 7 on counts the entries that were ever added. A reader that knows how many of
    them lie up to its position knows how many lie above, and where it also knows how many are
    still there, what is missing was deleted before it could be read. Before 7 nothing counts
    what was added, so only a stream that is empty above the position tells that something is
    missing, and not how much.
    """

    def __init__(self) -> None:
        self._read_to = b"0-0"
        self._read: int | None = None
        self._acknowledged: int | None = None
        self._gaps: list[tuple[bytes, int]] = []
        """Entries that went unread, behind which position."""
        self._told = b"0-0"

    def begin(
        self, position: bytes, group: Mapping[bytes, Any], stream: Mapping[bytes, Any]
    ) -> int | None:
        """Begin at a group's position, by what XINFO says of both; how many entries were added
        up to there, None where nobody knows."""
        total = _before(position, group, stream)
        self._read_to, self._read, self._acknowledged = position, total, total
        self._gaps.clear()
        self._told = b"0-0"
        return total

    def has_read(self, after: bytes, entries: int, last: bytes) -> None:
        """Entries above `after` were read, in one go up to `last`."""
        if self._read is not None:
            self._read = self._read + entries if after == self._read_to else None
        self._read_to = last

    def up_to(self, position: bytes, entries: int) -> int | None:
        """How many were added up to here, `entries` having been read since the last that was
        acknowledged."""
        if self._acknowledged is None:
            return None
        return self._acknowledged + entries + sum(lost for _, lost in self._passed(position))

    def has_acknowledged(self, position: bytes, total: int | None) -> None:
        self._acknowledged = total
        passed = self._passed(position)
        self._gaps = [gap for gap in self._gaps if gap not in passed]

    def missing(self, after: bytes, stream: Mapping[bytes, Any]) -> int:
        """How many entries above `after` were deleted, as far as can be told now and was not
        told before. `stream`: what XINFO says, with nothing read since."""
        if b"entries-added" not in stream:
            return self._missing_uncounted(after, stream)
        unread = _unread(after, stream)
        if unread is None:
            return 0
        due = int(stream[b"entries-added"]) - unread
        if after != self._read_to or self._read is None or due < self._read:
            self._read_to, self._read = after, due
            return 0
        lost = due - self._read
        if lost:
            self._read = due
            self._gaps.append((after, lost))
        return lost

    def _missing_uncounted(self, after: bytes, stream: Mapping[bytes, Any]) -> int:
        last: bytes = stream[b"last-generated-id"]
        if stream[b"length"] or order(last) <= max(order(after), order(self._told)):
            return 0
        self._told = last
        return 1

    def _passed(self, position: bytes) -> list[tuple[bytes, int]]:
        return [gap for gap in self._gaps if order(gap[0]) < order(position)]


def _unread(after: bytes, stream: Mapping[bytes, Any]) -> int | None:
    """How many entries lie above `after`; None where that would have to be counted."""
    first, last = stream[b"first-entry"], stream[b"last-entry"]
    if first is None or order(first[0]) > order(after):
        return int(stream[b"length"])
    return 0 if order(last[0]) <= order(after) else None


def _before(position: bytes, group: Mapping[bytes, Any], stream: Mapping[bytes, Any]) -> int | None:
    if b"entries-added" not in stream:
        return None
    if group[b"entries-read"] is not None:
        return int(group[b"entries-read"])
    unread = _unread(position, stream)
    return None if unread is None else int(stream[b"entries-added"]) - unread
