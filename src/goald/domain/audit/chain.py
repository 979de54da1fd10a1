"""Verification of one hash chain of the audit log, row by row."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from goald.domain.audit.entries import (
    AuditFinding,
    Chain,
    ChainEntry,
    ChainHead,
    SavedHead,
    entry_hash,
)

MAX_SUSPECTS = 32
"""How many rows with a wrong hash are kept, to recognize rows that were exchanged."""


@dataclass(slots=True)
class _Suspect:
    """A row whose hash does not match its content."""

    entry: ChainEntry
    previous: bytes
    """The hash of the previous row."""


@dataclass(slots=True)
class ChainCheck:
    """Checks one chain: first its rows in order, then its head. Keeps at most MAX_SUSPECTS rows in
    memory. Rows with the same number may come in any order."""

    chain: Chain
    saved: SavedHead | None = None
    last: ChainEntry | None = None
    """The last row that was checked."""
    _position: ChainHead = field(init=False)
    _previous: bytes = field(default=b"", init=False)
    """The hash of the row before `_position`."""
    _suspects: list[_Suspect] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._position = self.chain.start
        self._previous = self.chain.start.hash

    @property
    def position(self) -> ChainHead:
        """The last row that was checked, as the head of the chain so far."""
        return self._position

    def skip_to(self, start: ChainHead) -> None:
        """Continue after `start`, because the months before it were dropped during the check."""
        if start.number > self._position.number:
            self._position = start
            self._previous = start.hash

    def check(self, entry: ChainEntry) -> Iterator[AuditFinding]:
        """Check the next row and yield the findings."""
        writer = self.chain.writer
        if entry.number <= self._position.number:
            yield AuditFinding(writer, "inserted", self._check_duplicate(entry))
            return
        if entry.number > self._position.number + 1:
            first, last = self._position.number + 1, entry.number - 1
            yield AuditFinding(writer, "missing", first, last if last > first else None)
        elif entry_hash(self._position.hash, entry) != entry.hash:
            yield from self._check_mismatch(entry)
            return
        self._advance(entry)
        yield from self._compare_saved(entry.number, entry.hash)

    def finish(self, head: ChainHead | None) -> Iterator[AuditFinding]:
        """Compare the rows with the stored head, after the last row was checked."""
        writer, end = self.chain.writer, self._position
        if head is None:
            if self.last is not None:
                yield AuditFinding(writer, "head missing", end.number)
        elif head.number > end.number:
            first = end.number + 1
            yield AuditFinding(
                writer, "truncated", first, head.number if head.number > first else None
            )
        elif head.number < end.number and self.last is not None:
            first = max(head.number, self.chain.start.number) + 1
            last = end.number if end.number > first else None
            yield AuditFinding(writer, "appended", first, last)
        elif head != end:
            yield from self._check_head(head)
        for suspect in self._suspects:
            yield AuditFinding(writer, "modified", suspect.entry.number)
        self._suspects.clear()
        if self.saved is not None and self.saved.number > end.number:
            yield AuditFinding(writer, "lost", self.saved.number)

    def _advance(self, entry: ChainEntry, hash_: bytes | None = None) -> None:
        self._previous = self._position.hash
        self._position = ChainHead(entry.number, entry.hash if hash_ is None else hash_)
        self.last = entry

    def _check_duplicate(self, entry: ChainEntry) -> int:
        """Handle a number that occurs a second time, or is not after the start. If the hash of this
        row matches the chain, the check continues from this row."""
        if (
            entry.number == self._position.number
            and entry_hash(self._previous, entry) == entry.hash
        ):
            self._suspects = [s for s in self._suspects if s.entry.number != entry.number]
            self._position = ChainHead(entry.number, entry.hash)
        return entry.number

    def _check_mismatch(self, entry: ChainEntry) -> Iterator[AuditFinding]:
        """Classify a row whose hash does not follow from the row before it."""
        writer = self.chain.writer
        suspect = self._suspects[-1] if self._suspects else None
        if (
            suspect is not None
            and suspect.entry.number == entry.number - 1
            and entry_hash(entry_hash(suspect.previous, suspect.entry), entry) == entry.hash
        ):
            self._suspects.pop()
            yield AuditFinding(writer, "rehashed", suspect.entry.number)
            self._advance(entry)
        elif (other := self._exchanged_with(entry)) is not None:
            yield AuditFinding(writer, "swapped", other.entry.number)
            yield AuditFinding(writer, "swapped", entry.number)
            self._remove_suspects(other, entry)
            original_hash = entry.hash
            if entry_hash(other.previous, entry, other.entry.number) == entry.hash:
                original_hash = other.entry.hash  # the hashes were exchanged with the content
            self._advance(entry, original_hash)
        else:
            self._suspects.append(_Suspect(entry, self._position.hash))
            self._advance(entry)
            if len(self._suspects) > MAX_SUSPECTS:
                yield AuditFinding(writer, "modified", self._suspects.pop(0).entry.number)
        yield from self._compare_saved(entry.number, entry.hash)

    def _exchanged_with(self, entry: ChainEntry) -> _Suspect | None:
        """Return the earlier row with which this one was exchanged."""
        for suspect in self._suspects:
            written = entry_hash(suspect.previous, entry, suspect.entry.number)
            if written in (entry.hash, suspect.entry.hash):
                return suspect
        return None

    def _remove_suspects(self, other: _Suspect, entry: ChainEntry) -> None:
        """Remove the first of two exchanged rows, and the row after it if it matches the row that
        belongs before it."""
        self._suspects = [
            s
            for s in self._suspects
            if s is not other
            and not (
                s.entry.number == other.entry.number + 1
                and entry_hash(entry.hash, s.entry) == s.entry.hash
            )
        ]

    def _check_head(self, head: ChainHead) -> Iterator[AuditFinding]:
        suspect = self._suspects[-1] if self._suspects else None
        if suspect is not None and suspect.entry.number == self._position.number:
            if entry_hash(suspect.previous, suspect.entry) == head.hash:
                self._suspects.pop()
                yield AuditFinding(self.chain.writer, "rehashed", head.number)
        else:
            yield AuditFinding(self.chain.writer, "head modified", head.number)

    def _compare_saved(self, number: int, hash_: bytes) -> Iterator[AuditFinding]:
        if self.saved is not None and self.saved.number == number and self.saved.hash != hash_:
            yield AuditFinding(self.chain.writer, "rewritten", number)
