"""The parts that a shard evaluates and commits together (group commit)."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from goald import _native
from goald.pipeline.shard_batch import ShardBatch
from goald.ports.change import Conflict
from goald.ports.outbound import DeadLetter


@dataclass(frozen=True, slots=True)
class Group:
    """Parts taken together, in the order they came in."""

    parts: Sequence[ShardBatch]
    futures: "Sequence[asyncio.Future[None]]"

    @property
    def buffers(self) -> list[bytes]:
        return [part.buffer for part in self.parts]

    def dead_letters(
        self, proposal: _native.Proposal, conflicts: Sequence[Conflict]
    ) -> list[DeadLetter]:
        """What the evaluation refused, and what names an enrollment id that belongs to another
        contact or workflow (E5): not the repeat of whoever has it, though another came first."""
        owners = [(one.effect, one.contact, one.workflow) for one in conflicts]
        return [
            DeadLetter(self.parts[part].stream, entry_id, event, reason, delivery_attempts=1)
            for part, entry_id, reason, event in proposal.rejects_with(owners)
        ]

    def halves(self) -> "tuple[Group, Group] | None":
        """Its entries in two groups, in order, for which nobody waits; None where it is one
        entry alone."""
        middle = len(self.parts) // 2
        if middle > 0:
            return Group(self.parts[:middle], ()), Group(self.parts[middle:], ())
        (part,) = self.parts
        halves = _native.buffer_halves(part.buffer)
        if halves is None:
            return None
        first, second = (Group([part._replace(buffer=half)], ()) for half in halves)
        return first, second

    def letters(self, reason: str) -> list[DeadLetter]:
        """Every entry as one that cannot be processed."""
        return [
            DeadLetter(part.stream, entry_id, event, reason, delivery_attempts=1)
            for part in self.parts
            for entry_id, event in _native.buffer_entries(part.buffer)
        ]

    def done(self) -> None:
        """Tell whoever handed the parts over that all they caused is published."""
        for future in self.futures:
            if not future.done():
                future.set_result(None)


class Inbox:
    """Parts waiting to be processed. Bounded by what the consumers may have under way."""

    def __init__(self, group_bytes: int) -> None:
        self._group_bytes = group_bytes
        self._waiting: deque[tuple[ShardBatch, asyncio.Future[None]]] = deque()
        self._filled = asyncio.Event()

    def put(self, part: ShardBatch, future: "asyncio.Future[None]") -> None:
        self._waiting.append((part, future))
        self._filled.set()

    async def next(self) -> Group:
        """All that waits, up to the bound in bytes (one part at least); waits for the first."""
        await self._filled.wait()
        taken = [self._waiting.popleft()]
        size = len(taken[0][0].buffer)
        while self._waiting and size + len(self._waiting[0][0].buffer) <= self._group_bytes:
            taken.append(self._waiting.popleft())
            size += len(taken[-1][0].buffer)
        if not self._waiting:
            self._filled.clear()
        return _group(taken)

    def rest(self) -> Group:
        """All that waits."""
        taken = list(self._waiting)
        self._waiting.clear()
        self._filled.clear()
        return _group(taken)


def _group(taken: "Sequence[tuple[ShardBatch, asyncio.Future[None]]]") -> Group:
    return Group([part for part, _ in taken], [future for _, future in taken])
