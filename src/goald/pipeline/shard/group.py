"""Group commit: the batches that a shard evaluates and commits together."""

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
    """Batches processed together, in order of arrival."""

    batches: Sequence[ShardBatch]
    futures: "Sequence[asyncio.Future[None]]"
    """One for each batch; empty if no caller waits for the group."""

    @property
    def buffers(self) -> list[bytes]:
        return [batch.buffer for batch in self.batches]

    def rejected(
        self, proposal: _native.Proposal, conflicts: Sequence[Conflict]
    ) -> list[DeadLetter]:
        """Return the dead letters of one slice: what the evaluation rejected, and the events
        that name an enrollment id of another contact or workflow (E5). A repeat of the
        enrollment's owner is not rejected, even if another claim arrived first."""
        owners = [(each.effect, each.contact, each.workflow) for each in conflicts]
        return [
            DeadLetter(self.batches[batch].stream, entry_id, event, reason, delivery_attempts=1)
            for batch, entry_id, reason, event in proposal.rejects_given_owners(owners)
        ]

    def halves(self) -> "tuple[Group, Group] | None":
        """Return two groups of its entries, in order and without futures. None if it is a
        single entry."""
        middle = len(self.batches) // 2
        if middle > 0:
            return Group(self.batches[:middle], ()), Group(self.batches[middle:], ())
        (batch,) = self.batches
        halves = _native.buffer_halves(batch.buffer)
        if halves is None:
            return None
        first, second = (Group([batch._replace(buffer=half)], ()) for half in halves)
        return first, second

    def dead_letters(self, reason: str) -> list[DeadLetter]:
        """Return a dead letter for every entry."""
        return [
            DeadLetter(batch.stream, entry_id, event, reason, delivery_attempts=1)
            for batch in self.batches
            for entry_id, event in _native.buffer_entries(batch.buffer)
        ]

    def done(self) -> None:
        """Let the calls return that sent these batches: all effects are published."""
        for future in self.futures:
            if not future.done():
                future.set_result(None)


class Inbox:
    """Batches waiting to be processed. Bounded by the in-flight windows of the consumers."""

    def __init__(self, group_bytes: int) -> None:
        self._group_bytes = group_bytes
        self._waiting: deque[tuple[ShardBatch, asyncio.Future[None]]] = deque()
        self._filled = asyncio.Event()

    def put(self, batch: ShardBatch, future: "asyncio.Future[None]") -> None:
        self._waiting.append((batch, future))
        self._filled.set()

    async def next(self) -> Group:
        """Remove and return the waiting batches, up to the bound in bytes but at least one;
        wait for the first."""
        await self._filled.wait()
        taken = [self._waiting.popleft()]
        size = len(taken[0][0].buffer)
        while self._waiting and size + len(self._waiting[0][0].buffer) <= self._group_bytes:
            taken.append(self._waiting.popleft())
            size += len(taken[-1][0].buffer)
        if not self._waiting:
            self._filled.clear()
        return _group(taken)

    def drain(self) -> Group:
        """Remove and return all waiting batches."""
        taken = list(self._waiting)
        self._waiting.clear()
        self._filled.clear()
        return _group(taken)


def _group(taken: "Sequence[tuple[ShardBatch, asyncio.Future[None]]]") -> Group:
    return Group([batch for batch, _ in taken], [future for _, future in taken])
