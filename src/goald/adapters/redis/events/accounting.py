"""Counts the entries that were added to a stream, and those deleted before they were read."""

from collections.abc import Mapping
from typing import Any

from goald.adapters.redis.events.entry_ids import order


class Account:
    """Compares the entries that one reader has read with those that the server has added.

    Redis 7 and later count the entries that were ever added. The number added after the
    reader's position, minus the number still present, is the number of entries that were deleted
    unread. Earlier versions do not count added entries: a loss is detected only if the stream is
    empty after the position, and its size is unknown.
    """

    def __init__(self) -> None:
        self._read_to = b"0-0"
        self._read: int | None = None
        self._acknowledged: int | None = None
        self._gaps: list[tuple[bytes, int]] = []
        """(position, how many entries after it were deleted unread)."""
        self._reported = b"0-0"

    def begin(
        self, position: bytes, group: Mapping[bytes, Any], stream: Mapping[bytes, Any]
    ) -> int | None:
        """Start at the position of a group, with the XINFO of both. Returns how many entries were
        added up to it; None if unknown."""
        total = _before(position, group, stream)
        self._read_to, self._read, self._acknowledged = position, total, total
        self._gaps.clear()
        self._reported = b"0-0"
        return total

    def has_read(self, after: bytes, entries: int, last: bytes) -> None:
        """Record a read: `entries` entries after `after`, up to `last`."""
        if self._read is not None:
            self._read = self._read + entries if after == self._read_to else None
        self._read_to = last

    def up_to(self, position: bytes, entries: int) -> int | None:
        """How many entries were added up to this position, `entries` of which were read since the
        last acknowledgement; None if unknown."""
        if self._acknowledged is None:
            return None
        return self._acknowledged + entries + sum(lost for _, lost in self._passed(position))

    def has_acknowledged(self, position: bytes, total: int | None) -> None:
        self._acknowledged = total
        passed = self._passed(position)
        self._gaps = [gap for gap in self._gaps if gap not in passed]

    def missing(self, after: bytes, stream: Mapping[bytes, Any]) -> int:
        """How many entries after `after` were deleted unread and not reported before, as far as is
        known. `stream`: the XINFO of the stream, with nothing read since."""
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
        if stream[b"length"] or order(last) <= max(order(after), order(self._reported)):
            return 0
        self._reported = last
        return 1

    def _passed(self, position: bytes) -> list[tuple[bytes, int]]:
        return [gap for gap in self._gaps if order(gap[0]) < order(position)]


def _unread(after: bytes, stream: Mapping[bytes, Any]) -> int | None:
    """How many entries follow `after`; None if they would have to be counted."""
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
