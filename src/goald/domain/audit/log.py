"""Verification of the whole audit log, chunk by chunk, also against heads that were saved
elsewhere."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from goald.domain.audit.chain import ChainCheck
from goald.domain.audit.entries import AuditFinding, Chain, ChainEntry, SavedHead


@dataclass(frozen=True, slots=True)
class LogChunk:
    """A part of the log, from one snapshot.

    `entries`: rows ordered by (writer, number), after those of the previous chunk. `chains`: every
    stored chain from the last writer of the previous chunk to the last writer of this one, or to
    the last chain of all if `is_last`. `oldest`: the start of the oldest month that has not been
    dropped, in microseconds.
    """

    entries: Sequence[ChainEntry]
    chains: Sequence[Chain]
    oldest: int
    is_last: bool


class AuditVerification:
    """Checks the chunks of a log in order. Keeps the state of one chain, and the head of every
    chain."""

    def __init__(self, saved: Mapping[str, SavedHead]) -> None:
        """`saved`: heads by writer, from `heads` of an earlier verification. They reveal rows that
        were rewritten together with the heads in the database."""
        self.rows = 0
        self.heads: dict[str, SavedHead] = {}
        """The head of each chain that was checked to its end."""
        self._unseen = dict(saved)
        self._check: ChainCheck | None = None
        """The chain that continues in the next chunk."""

    def check(self, chunk: LogChunk) -> Iterator[AuditFinding]:
        """Check the next chunk and yield the findings. Findings in its last chain may come with
        the next chunk."""
        chains = {chain.writer: chain for chain in chunk.chains}
        rows = {
            writer: list(entries)
            for writer, entries in groupby(chunk.entries, lambda entry: entry.writer)
        }
        unfinished = None if chunk.is_last else chunk.entries[-1].writer
        continued = {self._check.chain.writer} if self._check is not None else set()
        for writer in sorted(chains.keys() | rows.keys() | continued):
            chain = chains.get(writer, Chain(writer))
            check = self._check
            if check is None:
                saved = self._unseen.pop(writer, None)
                check = self._check = ChainCheck(chain, saved)
                yield from _check_start(chain, saved, chunk.oldest)
            check.skip_to(chain.start)
            for entry in rows.get(writer, ()):
                yield from check.check(entry)
                self.rows += 1
            if writer != unfinished:
                yield from check.finish(chain.head)
                recorded_at = check.last.recorded_at if check.last else None
                head = check.position
                self.heads[writer] = SavedHead(head.number, head.hash, recorded_at)
                self._check = None
        if chunk.is_last:
            for writer, saved in sorted(self._unseen.items()):
                yield AuditFinding(writer, "lost", saved.number)


def _check_start(chain: Chain, saved: SavedHead | None, oldest: int) -> Iterator[AuditFinding]:
    """Check a saved head that is not after the start of the chain. Its row may have been dropped
    with its month, but not if the month is still there."""
    if saved is None or saved.number > chain.start.number:
        return
    if saved.number == chain.start.number:
        if saved.hash != chain.start.hash:
            yield AuditFinding(chain.writer, "rewritten", saved.number)
    elif saved.recorded_at is not None and saved.recorded_at >= oldest:
        yield AuditFinding(chain.writer, "lost", saved.number)
