"""The stored rows and heads of the audit log's hash chains, and the findings about them.

Each row of a chain carries the SHA-256 of its content and the hash of the row before it. The
hashed text is rebuilt from the columns alone, without anything that the database computes.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Literal, TypeAlias

FindingKind: TypeAlias = Literal[
    "modified", "rehashed", "missing", "swapped", "inserted", "truncated", "appended",
    "head modified", "head missing", "rewritten", "lost",
]  # fmt: skip

FINDING_MEANINGS: dict[FindingKind, str] = {
    "modified": "the content of the row was modified",
    "rehashed": "the hash of the row was modified; its content was not",
    "missing": "the row was deleted, or its number was modified",
    "swapped": "the row was exchanged with another one",
    "inserted": "the row was inserted under the number of another one",
    "truncated": "the row was deleted from the end of the chain",
    "appended": "the row was inserted after the head of the chain, or the head was set back",
    "head modified": "the stored head of the chain is not the hash of its last row",
    "head missing": "the stored head of the chain was deleted",
    "rewritten": "the row differs from the row at the time when the heads were saved",
    "lost": "the row existed when the heads were saved, and is missing now",
}
"""The meaning of each kind of finding, for a person."""


@dataclass(frozen=True, slots=True)
class ChainHead:
    """The last row of a chain, or the last dropped row: its number and hash. Number 0:
    before the first row."""

    number: int = 0
    hash: bytes = b""


@dataclass(frozen=True, slots=True)
class SavedHead(ChainHead):
    """A head that was saved outside the database. `recorded_at`: when its row was recorded, in
    microseconds; None if its month had been dropped."""

    recorded_at: int | None = None


@dataclass(frozen=True, slots=True)
class Chain:
    """The stored state of the chain of one writer, without its rows. `start`: the last
    row of the months that were dropped."""

    writer: str
    head: ChainHead | None = None
    start: ChainHead = ChainHead()


@dataclass(frozen=True, slots=True)
class ChainEntry:
    """A row as it is stored. `before` and `after` are JSON as Postgres writes it."""

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
    """A deviation from the written log, at row `number`, or at rows `number` to `last`."""

    writer: str
    kind: FindingKind
    number: int
    last: int | None = None

    @property
    def meaning(self) -> str:
        return FINDING_MEANINGS[self.kind]


def entry_hash(previous: bytes, entry: ChainEntry, number: int | None = None) -> bytes:
    """Return the hash that a row must have after a row with the hash `previous`. `number`: compute
    it as if the row had this number."""
    effective = entry.number if number is None else number
    fields = (entry.writer, effective, entry.tenant_id, entry.recorded_at, entry.actor,
              entry.action, entry.subject, entry.subject_id, entry.workflow_id)  # fmt: skip
    text = json.dumps(fields, ensure_ascii=False)[:-1]
    text += f", {entry.before or 'null'}, {entry.after or 'null'}]"
    return hashlib.sha256(previous + text.encode()).digest()
