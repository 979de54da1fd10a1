"""Turns: which events a shard processes next, so that no tenant delays another (D8).

Groups of new batches and groups of one tenant's deferred events alternate. In each group, a tenant
has a share of the work. The events that exceed it are deferred, and so is every later event of that
tenant, so its order is kept. The share of deferred events is small while other tenants send events
to the shard (docs/decisions/0034-turns-of-work.md).
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Sequence

from goald.pipeline.shard.group import SHARE, Completion, DeferredEvents, Group
from goald.pipeline.shard_batch import ShardBatch

DEFERRED_BYTES = 1 << 20
"""About this many bytes of deferred events are read again for one group. More would be copied in
vain if the first of them use the share."""
SHORT_TURN = 10
"""The divisor of a turn's share and bytes while other tenants send events, and of the work of one
event in a group of new batches."""
GROUPS_ALONE = 32
"""After this many groups without events of other tenants, turns are no longer short."""


class Turns:
    """The batches and the deferred events that wait to be processed. Bounded by the in-flight
    windows of the consumers."""

    def __init__(
        self, group_bytes: int, deferred_bytes: int = DEFERRED_BYTES, share: int = SHARE
    ) -> None:
        """`group_bytes` bounds the size of a group of new batches, `deferred_bytes` that of a
        group of deferred events, and `share` the work of each tenant in a group."""
        self._group_bytes = group_bytes
        self._deferred_bytes = deferred_bytes
        self._share = share
        self._new: deque[tuple[ShardBatch, Completion]] = deque()
        self._deferred: OrderedDict[str, deque[DeferredEvents]] = OrderedDict()
        self._is_deferred_next = False
        self._groups_alone = 0
        """Groups since the last group with events of tenants without deferred events."""
        self._filled = asyncio.Event()

    def put(self, batch: ShardBatch, processed: "asyncio.Future[None]") -> "asyncio.Future[None]":
        """Add a batch behind all others. `processed` is done when the batch is processed. Returns
        a future that is done when its events are processed or deferred."""
        completion = Completion(processed)
        self._new.append((batch, completion))
        self._filled.set()
        return completion.grouped

    def defer(self, group: Group, events: Sequence[DeferredEvents], processed: int) -> None:
        """Keep events of a group that is otherwise processed: behind the events that wait, or,
        if the group itself was deferred, before them. `processed`: how many events of the group
        were not deferred."""
        if group.tenant is None:
            self._groups_alone = 0 if processed > 0 else self._groups_alone + 1
        elif not self._new:
            self._groups_alone += 1
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
        return Group(
            batches,
            completions,
            frozenset(self._deferred),
            share=self._share,
            event_share=self._share // SHORT_TURN,
        )

    def _next_deferred(self) -> Group:
        """Deferred events of the tenant whose turn it is, up to the bound in bytes."""
        is_short = self._groups_alone < GROUPS_ALONE or len(self._deferred) > 1
        divisor = SHORT_TURN if is_short else 1
        tenant, waiting = next(iter(self._deferred.items()))
        taken = [waiting.popleft()]
        size = len(taken[0].batch.buffer)
        limit = self._deferred_bytes // divisor
        while waiting and size + len(waiting[0].batch.buffer) <= limit:
            taken.append(waiting.popleft())
            size += len(taken[-1].batch.buffer)
        if waiting:
            self._deferred.move_to_end(tenant)
        else:
            del self._deferred[tenant]
        batches = [each.batch for each in taken]
        completions = [each.completion for each in taken]
        share = self._share // divisor
        return Group(batches, completions, tenant=tenant, share=share, event_share=share)

    def _of(self, tenant: str) -> "deque[DeferredEvents]":
        return self._deferred.setdefault(tenant, deque())
