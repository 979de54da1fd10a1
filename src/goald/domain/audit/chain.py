"""Whether the audit log is as it was written: the chains of hashes, checked row by row.

Each row of a chain carries SHA-256 over itself and the hash before it. What was hashed is
written here again, from the columns alone: nothing that the database computes is relied on.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal[
    "changed", "rehashed", "missing", "swapped", "added", "cut off", "beyond the end",
    "end changed", "no end", "rewritten", "gone",
]  # fmt: skip

MEANINGS: dict[Kind, str] = {
    "changed": "its content is not what was written",
    "rehashed": "its hash was changed; its content is what was written",
    "missing": "it was deleted, or its number was changed",
    "swapped": "it stands where another was written: they were exchanged",
    "added": "a row was put in under a number that is another's",
    "cut off": "it was deleted from the end of the chain",
    "beyond the end": "it was put in behind the end of the chain, or that was turned back",
    "end changed": "the end that is kept of the chain is not the end of its rows",
    "no end": "the end that was kept of the chain was deleted",
    "rewritten": "it is not the row that stood here when the ends were saved",
    "gone": "it was there when the ends were saved, and is not any more",
}
"""What each kind of finding means, for a person."""

SUSPECTS = 32
"""So many rows that do not fit are held against later ones, to tell an exchange."""


@dataclass(frozen=True, slots=True)
class End:
    """Up to where a chain goes, or where it begins: a number, and the hash of that row."""

    number: int = 0
    hash: bytes = b""


@dataclass(frozen=True, slots=True)
class KeptEnd(End):
    """An end that was kept elsewhere; `recorded_at`, in microseconds, says in which month its
    row lies, None where that was dropped already."""

    recorded_at: int | None = None


@dataclass(frozen=True, slots=True)
class Chain:
    """What is kept of one writer's chain beside its rows. `start`: the last row of the months
    that were dropped."""

    writer: str
    head: End | None = None
    start: End = End()


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One row, as it is stored: `before` and `after` are JSON as Postgres writes it."""

    writer: str
    number: int
    tenant_id: str
    recorded_at: int
    actor: str
    action: str
    subject: str
    subject_id: str
    workflow_id: str | None
    before: str | None
    after: str | None
    hash: bytes


@dataclass(frozen=True, slots=True)
class AuditFinding:
    """Something that is not as it was written. `last` where it is several numbers."""

    writer: str
    kind: Kind
    number: int
    last: int | None = None

    @property
    def meaning(self) -> str:
        return MEANINGS[self.kind]


def link(before: bytes, entry: AuditEntry, number: int | None = None) -> bytes:
    """The hash of a row that follows one with the hash `before`; as if it had another number,
    where one is given."""
    of = entry.number if number is None else number
    fields = (entry.writer, of, entry.tenant_id, entry.recorded_at, entry.actor, entry.action,
              entry.subject, entry.subject_id, entry.workflow_id)  # fmt: skip
    text = json.dumps(fields, ensure_ascii=False)[:-1]
    text += f", {entry.before or 'null'}, {entry.after or 'null'}]"
    return hashlib.sha256(before + text.encode()).digest()


@dataclass(slots=True)
class _Suspect:
    entry: AuditEntry
    before: bytes
    """The hash that stood before it."""


@dataclass(slots=True)
class ChainCheck:
    """Checks one chain: its rows in order, then its end. Holds a few rows, however long the
    chain is. Rows of one number may come in any order."""

    chain: Chain
    kept: KeptEnd | None = None
    last: AuditEntry | None = None
    """The row that was taken last."""
    _end: End = field(init=False)
    _before_end: bytes = field(default=b"", init=False)
    _suspects: list[_Suspect] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._end = self.chain.start
        self._before_end = self.chain.start.hash

    @property
    def end(self) -> End:
        """Up to where it was checked."""
        return self._end

    def begin_at(self, start: End) -> None:
        """Months were dropped meanwhile, and rows that were to come with them."""
        if start.number > self._end.number:
            self._end = start
            self._before_end = start.hash

    def take(self, entry: AuditEntry) -> Iterator[AuditFinding]:
        """Check the next row."""
        writer = self.chain.writer
        if entry.number <= self._end.number:
            yield AuditFinding(writer, "added", self._twice(entry))
            return
        if entry.number > self._end.number + 1:
            first, last = self._end.number + 1, entry.number - 1
            yield AuditFinding(writer, "missing", first, last if last > first else None)
        elif link(self._end.hash, entry) != entry.hash:
            yield from self._judge(entry)
            return
        self._go_on(entry)
        yield from self._compare_kept(entry.number, entry.hash)

    def finish(self, head: End | None) -> Iterator[AuditFinding]:
        """The chain has no more rows, and this is its end that is kept."""
        writer, end = self.chain.writer, self._end
        if head is None:
            if self.last is not None:
                yield AuditFinding(writer, "no end", end.number)
        elif head.number > end.number:
            first = end.number + 1
            yield AuditFinding(
                writer, "cut off", first, head.number if head.number > first else None
            )
        elif head.number < end.number and self.last is not None:
            first = max(head.number, self.chain.start.number) + 1
            last = end.number if end.number > first else None
            yield AuditFinding(writer, "beyond the end", first, last)
        elif head != end:
            yield from self._judge_head(head)
        for suspect in self._suspects:
            yield AuditFinding(writer, "changed", suspect.entry.number)
        self._suspects.clear()
        if self.kept is not None and self.kept.number > end.number:
            yield AuditFinding(writer, "gone", self.kept.number)

    def _go_on(self, entry: AuditEntry, hash_: bytes | None = None) -> None:
        self._before_end = self._end.hash
        self._end = End(entry.number, entry.hash if hash_ is None else hash_)
        self.last = entry

    def _twice(self, entry: AuditEntry) -> int:
        """A number comes a second time, or lies before the beginning: one of them was put in.
        Where this row is the one that fits, the chain goes on from it."""
        if entry.number == self._end.number and link(self._before_end, entry) == entry.hash:
            self._suspects = [s for s in self._suspects if s.entry.number != entry.number]
            self._end = End(entry.number, entry.hash)
        return entry.number

    def _judge(self, entry: AuditEntry) -> Iterator[AuditFinding]:
        """A row that does not fit what stands before it."""
        writer = self.chain.writer
        before = self._suspects[-1] if self._suspects else None
        if (
            before is not None
            and before.entry.number == entry.number - 1
            and link(link(before.before, before.entry), entry) == entry.hash
        ):
            self._suspects.pop()
            yield AuditFinding(writer, "rehashed", before.entry.number)
            self._go_on(entry)
        elif (other := self._exchanged_with(entry)) is not None:
            yield AuditFinding(writer, "swapped", other.entry.number)
            yield AuditFinding(writer, "swapped", entry.number)
            self._clear_of(other, entry)
            belongs_here = entry.hash
            if link(other.before, entry, other.entry.number) == entry.hash:
                belongs_here = other.entry.hash  # the hashes were exchanged with the rest
            self._go_on(entry, belongs_here)
        else:
            self._suspects.append(_Suspect(entry, self._end.hash))
            self._go_on(entry)
            if len(self._suspects) > SUSPECTS:
                yield AuditFinding(writer, "changed", self._suspects.pop(0).entry.number)
        yield from self._compare_kept(entry.number, entry.hash)

    def _exchanged_with(self, entry: AuditEntry) -> _Suspect | None:
        """The earlier row in whose place this one was written."""
        for suspect in self._suspects:
            written = link(suspect.before, entry, suspect.entry.number)
            if written in (entry.hash, suspect.entry.hash):
                return suspect
        return None

    def _clear_of(self, other: _Suspect, entry: AuditEntry) -> None:
        """Two rows were exchanged: the one behind the first fits what belongs there."""
        self._suspects = [
            s
            for s in self._suspects
            if s is not other
            and not (
                s.entry.number == other.entry.number + 1
                and link(entry.hash, s.entry) == s.entry.hash
            )
        ]

    def _judge_head(self, head: End) -> Iterator[AuditFinding]:
        suspect = self._suspects[-1] if self._suspects else None
        if suspect is not None and suspect.entry.number == self._end.number:
            if link(suspect.before, suspect.entry) == head.hash:
                self._suspects.pop()
                yield AuditFinding(self.chain.writer, "rehashed", head.number)
        else:
            yield AuditFinding(self.chain.writer, "end changed", head.number)

    def _compare_kept(self, number: int, hash_: bytes) -> Iterator[AuditFinding]:
        if self.kept is not None and self.kept.number == number and self.kept.hash != hash_:
            yield AuditFinding(self.chain.writer, "rewritten", number)
