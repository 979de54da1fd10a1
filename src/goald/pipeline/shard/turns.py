"""Turns: which events a shard processes next, so that no tenant delays another (D8).

Groups of new batches and groups of deferred events alternate. In each group, a tenant has a share
of the work. The events that exceed it are deferred, and so is every later event of that tenant, so
its order is kept. The share of deferred events is small while other tenants send events to the
shard (docs/decisions/0034-turns-of-work.md).
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import replace

from goald.pipeline.shard.group import SHARE, Completion, DeferredEvents, Group
from goald.pipeline.shard_batch import Forwarded, ShardBatch

DEFERRED_BYTES = 1 << 20
"""About this many bytes of deferred events are read again for one group. More would be copied in
vain if the first of them use the share."""
SHORT_TURN = 10
"""The divisor of a turn's share and bytes while other tenants send events, and of the work of one
event in a group of new batches."""
GROUPS_ALONE = 32
"""After this many groups without events of other tenants, turns are no longer short."""
SHARES = 2
"""The shares of work in one group (`SHARES` of the matcher): all events beyond wait."""


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
        """By tenant, in order of their turns."""
        self._suspended: set[str] = set()
        """Tenants whose events have no turns."""
        self._epochs: dict[str, int] = {}
        """The latest epoch of each stream."""
        self._is_deferred_next = False
        self._groups_alone = 0
        """Groups since the last group with events of tenants without deferred events."""
        self._filled = asyncio.Event()

    def put(
        self, batch: ShardBatch, processed: "asyncio.Future[Sequence[Forwarded]]"
    ) -> "asyncio.Future[None]":
        """Add a batch behind all others. `processed` is done when the batch is processed. Returns
        a future that is done when its events are processed or deferred. The first batch of a
        later epoch cancels the futures of those that wait: its sender sends their events again."""
        if batch.epoch > self._epochs.setdefault(batch.stream, batch.epoch):
            self._epochs[batch.stream] = batch.epoch
            self._remove_superseded()
        completion = Completion(processed)
        self._new.append((batch, completion))
        self._filled.set()
        return completion.grouped

    def defer(self, group: Group, events: Sequence[DeferredEvents], processed: int) -> None:
        """Keep events of a group that is otherwise processed: behind the events that wait, or,
        if the group itself was deferred, before them. `processed`: how many events of the group
        were not deferred."""
        current = self._current(events)
        if group.tenants:
            if not self._new:
                self._groups_alone += 1
            for each in reversed(current):
                self._of(each.tenant).appendleft(each)
            self._end_turn(group.tenants)
        else:
            self._groups_alone = 0 if processed > 0 else self._groups_alone + 1
            for each in current:
                self._of(each.tenant).append(each)
        self._update_filled()

    def suspend(self, tenant: str) -> None:
        """Defer the events of a tenant until `resume`. A group that `next` has returned may have
        some of them: see `without_suspended`."""
        self._suspended.add(tenant)
        self._update_filled()

    def resume(self, tenant: str) -> None:
        """The events of a tenant have their turns again."""
        self._suspended.discard(tenant)
        self._update_filled()

    def without_suspended(self, group: Group) -> Group:
        """Return a group in which the events of the suspended tenants wait, if a caller waits for
        the group."""
        if not self._suspended or not group.completions:
            return group
        return replace(group, deferred_tenants=group.deferred_tenants | self._suspended)

    def deferred_bytes(self) -> dict[str, int]:
        """Return the size of the deferred events, by tenant."""
        return {
            tenant: sum(len(each.batch.buffer) for each in events)
            for tenant, events in self._deferred.items()
        }

    async def next(self) -> Group:
        """Remove and return the next group; wait until there is one. The previous group must be
        processed, and its deferred events kept."""
        while not self._new and not self._has_deferred:  # `suspend` may be faster than the wait
            await self._filled.wait()
        if self._has_deferred and (self._is_deferred_next or not self._new):
            group = self._next_deferred()
        else:
            group = self._next_new()
        self._is_deferred_next = not group.tenants
        self._update_filled()
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
        """Deferred events of the tenants whose turn it is. Together they have the work of one
        turn, in which the first tenant is certain to have its share."""
        is_short = self._groups_alone < GROUPS_ALONE
        divisor = SHORT_TURN if is_short else 1
        taken = self._take(self._deferred_bytes // divisor)
        tenants = list(dict.fromkeys(each.tenant for each in taken))
        share = self._share // divisor
        if len(tenants) > 1:
            share //= SHARES
        batches = [each.batch for each in taken]
        completions = [each.completion for each in taken]
        return Group(batches, completions, tenants=tenants, share=share, event_share=share)

    def _take(self, size: int) -> list[DeferredEvents]:
        """Remove and return deferred events of several tenants, up to this size, but at least one
        piece. The size is shared equally, but each tenant has at least one piece if it fits."""
        of_tenants = [
            events for tenant, events in self._deferred.items() if tenant not in self._suspended
        ]
        size_each = size // min(len(of_tenants), SHORT_TURN)
        taken: list[DeferredEvents] = []
        for waiting in of_tenants:
            if taken and len(waiting[0].batch.buffer) > size:
                break
            room = size_each
            while True:
                taken.append(waiting.popleft())
                room -= len(taken[-1].batch.buffer)
                size -= len(taken[-1].batch.buffer)
                if not waiting or len(waiting[0].batch.buffer) > min(room, size):
                    break
        return taken

    def _end_turn(self, tenants: Sequence[str]) -> None:
        """Move the first of these tenants behind all others, and remove those without deferred
        events. The others keep their place: the first may have used the work of the group."""
        if tenants[0] in self._deferred:
            self._deferred.move_to_end(tenants[0])
        for tenant in tenants:
            if not self._deferred.get(tenant):
                self._deferred.pop(tenant, None)

    def _remove_superseded(self) -> None:
        """Remove the events of earlier holders of streams."""
        new = list(self._new)
        self._new.clear()
        for batch, completion in new:
            if batch.epoch < self._epochs[batch.stream]:
                completion.supersede()
            else:
                self._new.append((batch, completion))
        for tenant, events in list(self._deferred.items()):
            self._deferred[tenant] = deque(self._current(events))
            if not self._deferred[tenant]:
                del self._deferred[tenant]

    def _current(self, events: Iterable[DeferredEvents]) -> list[DeferredEvents]:
        """Return these events without those of earlier holders of streams."""
        current = []
        for each in events:
            if each.batch.epoch < self._epochs.get(each.batch.stream, each.batch.epoch):
                each.completion.supersede()
            else:
                current.append(each)
        return current

    @property
    def _has_deferred(self) -> bool:
        return not self._suspended.issuperset(self._deferred)

    def _update_filled(self) -> None:
        if self._new or self._has_deferred:
            self._filled.set()
        else:
            self._filled.clear()

    def _of(self, tenant: str) -> "deque[DeferredEvents]":
        return self._deferred.setdefault(tenant, deque())
