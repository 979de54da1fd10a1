"""The whole audit log, checked piece by piece: every chain, also against ends kept elsewhere."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from goald.domain.audit.chain import AuditEntry, AuditFinding, Chain, ChainCheck, KeptEnd


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the log, all of one moment.

    `entries`: rows by (writer, number), behind those of the piece before. `chains`: every
    chain that is kept from the last writer of the piece before to the last of this one; to
    the end of all of them where `is_last`. `oldest`: when the oldest month that is there
    began, microseconds.
    """

    entries: Sequence[AuditEntry]
    chains: Sequence[Chain]
    oldest: int
    is_last: bool


class Verification:
    """Takes the pieces of a log in their order and gives what is wrong with it. Holds one
    chain's state, and what is to be kept of every chain."""

    def __init__(self, kept: Mapping[str, KeptEnd]) -> None:
        """`kept`: ends by writer, as `ends` gave them earlier. They also find what was
        rewritten together with the ends that the database holds."""
        self.rows = 0
        self.ends: dict[str, KeptEnd] = {}
        """Up to where each chain was checked, once it was."""
        self._unseen = dict(kept)
        self._check: ChainCheck | None = None
        """Of the chain that the next piece goes on with."""

    def take(self, piece: Piece) -> Iterator[AuditFinding]:
        """Check a piece. What is found in its last chain may come with the next one."""
        chains = {chain.writer: chain for chain in piece.chains}
        rows = {writer: list(of_it) for writer, of_it in groupby(piece.entries, lambda e: e.writer)}
        unfinished = None if piece.is_last else piece.entries[-1].writer
        begun = {self._check.chain.writer} if self._check is not None else set()
        for writer in sorted(chains.keys() | rows.keys() | begun):
            chain = chains.get(writer, Chain(writer))
            check = self._check
            if check is None:
                kept = self._unseen.pop(writer, None)
                check = self._check = ChainCheck(chain, kept)
                yield from _judge_start(chain, kept, piece.oldest)
            check.begin_at(chain.start)
            for entry in rows.get(writer, ()):
                yield from check.take(entry)
                self.rows += 1
            if writer != unfinished:
                yield from check.finish(chain.head)
                at = check.last.recorded_at if check.last else None
                self.ends[writer] = KeptEnd(check.end.number, check.end.hash, at)
                self._check = None
        if piece.is_last:
            for writer, kept in sorted(self._unseen.items()):
                yield AuditFinding(writer, "gone", kept.number)


def _judge_start(chain: Chain, kept: KeptEnd | None, oldest: int) -> Iterator[AuditFinding]:
    """A kept end may lie where months were dropped since. But not if its own month is there."""
    if kept is None or kept.number > chain.start.number:
        return
    if kept.number == chain.start.number:
        if kept.hash != chain.start.hash:
            yield AuditFinding(chain.writer, "rewritten", kept.number)
    elif kept.recorded_at is not None and kept.recorded_at >= oldest:
        yield AuditFinding(chain.writer, "gone", kept.number)
