"""Turns: which events a shard processes next, so that no tenant delays another (D8).

Groups of new batches and groups of one tenant's deferred events alternate. In each group, a tenant
has a share of the work. The events that exceed it are deferred, and so is every later event of that
tenant, so its order is kept (docs/decisions/0034-turns-of-work.md).
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Sequence

from goald.pipeline.shard.group import Completion, DeferredEvents, Group
from goald.pipeline.shard_batch import ShardBatch

DEFERRED_BYTES = 256 << 10
"""About this many bytes of deferred events are read again for one group. More would be copied in
vain if the first of them use the share."""


class Turns:
    """The batches and the deferred events that wait to be processed. Bounded by the in-flight
    windows of the consumers."""

    def __init__(self, group_bytes: int, deferred_bytes: int = DEFERRED_BYTES) -> None:
        """`group_bytes` bounds the size of a group of new batches, and `deferred_bytes` that of a
        group of deferred events."""
        self._group_bytes = group_bytes
        self._deferred_bytes = deferred_bytes
        self._new: deque[tuple[ShardBatch, Completion]] = deque()
        self._deferred: OrderedDict[str, deque[DeferredEvents]] = OrderedDict()
        self._is_deferred_next = False
        self._filled = asyncio.Event()

    def put(self, batch: ShardBatch, future: "asyncio.Future[None]") -> None:
        """Add a batch behind all others. `future` is done when the batch is processed."""
        self._new.append((batch, Completion(future)))
        self._filled.set()

    def defer(self, group: Group, events: Sequence[DeferredEvents]) -> None:
        """Keep events of a group that is otherwise processed: behind the events that wait, or,
        if the group itself was deferred, before them."""
        if group.tenant is not None and events:
            self._of(group.tenant).extendleft(reversed(events))
        elif group.tenant is None:
            for each in events:
                self._of(each.tenant).append(each)
        if events:
            self._filled.set()

    def deferred_bytes(self) -> dict[str, int]:
        """Return the size of the deferred events, by tenant."""
        return {
            tenant: sum(len(each.batch.buffer) for each in events)
            for tenant, events in self._deferred.items()
        }

    async def next(self) -> Group:
        """Remove and return the next group; wait until there is one. The previous group must be
        processed, and its deferred events kept."""
        await self._filled.wait()
        if self._deferred and (self._is_deferred_next or not self._new):
            group = self._next_deferred()
        else:
            group = self._next_new()
        self._is_deferred_next = group.tenant is None
        if not self._new and not self._deferred:
            self._filled.clear()
        return group

    def abandon(self) -> None:
        """Remove everything, and let all calls return."""
        for _, completion in self._new:
            completion.end()
        for events in self._deferred.values():
            for each in events:
                each.completion.end()
        self._new.clear()
        self._deferred.clear()
        self._filled.clear()

    def _next_new(self) -> Group:
        """Waiting batches, up to the bound in bytes but at least one."""
        taken = [self._new.popleft()]
        size = len(taken[0][0].buffer)
        while self._new and size + len(self._new[0][0].buffer) <= self._group_bytes:
            taken.append(self._new.popleft())
            size += len(taken[-1][0].buffer)
        batches, completions = zip(*taken, strict=True)
        return Group(batches, completions, frozenset(self._deferred))

    def _next_deferred(self) -> Group:
        """Deferred events of the tenant whose turn it is, up to the bound in bytes."""
        tenant, waiting = next(iter(self._deferred.items()))
        taken = [waiting.popleft()]
        size = len(taken[0].batch.buffer)
        while waiting and size + len(waiting[0].batch.buffer) <= self._deferred_bytes:
            taken.append(waiting.popleft())
            size += len(taken[-1].batch.buffer)
        if waiting:
            self._deferred.move_to_end(tenant)
        else:
            del self._deferred[tenant]
        batches = [each.batch for each in taken]
        return Group(batches, [each.completion for each in taken], tenant=tenant)

    def _of(self, tenant: str) -> "deque[DeferredEvents]":
        return self._deferred.setdefault(tenant, deque())
