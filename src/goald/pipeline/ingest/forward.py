"""Forward: passes on the events of merged contacts to the shards of the contacts that continue them
(E21).

A shard answers with these events instead of processing them. They go from shard to shard, as far as
contacts were merged again, and a batch is acknowledged when the last has processed them. Nothing
else stores them: if a consumer or a shard dies, the events are read or sent again, and forwarded
again.

The event that asks a shard for the enrollments of a merged contact is forwarded the same way.
When enrollments have moved or started under the other id, the events that the other contact
received since are delivered again, because they were processed without these enrollments. A
repetition changes nothing else (D1).
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

from goald import _native
from goald.domain.fail_points import FailPoint
from goald.domain.slots import SLOTS, SlotRange, shard_of_slot
from goald.pipeline.context import ConsumerContext
from goald.pipeline.ingest.dispatch import ShardDispatcher
from goald.pipeline.shard_batch import Forwarded
from goald.ports.event_history import EventHistory

BRING_ENROLLMENTS: Final = (b"workflow.transfer.moved", b"workflow.enrollment.started")
"""Events of these types bring enrollments to a contact."""
OTHER_SLOTS: Final = 255
"""Stands for the shards of slots that are not searched."""
MAX_BUFFER: Final = 64 * 1024


class Moved(NamedTuple):
    """A contact to which an event brought enrollments, and when goald received the event."""

    tenant: str
    contact: str
    slot: int
    received_ms: int


@dataclass(frozen=True, slots=True)
class StreamRoute:
    """The shards to which events of this stream are sent."""

    stream: str
    epoch: int
    ranges: Sequence[SlotRange]
    """The slots of each dispatcher's shard."""
    dispatchers: Sequence[ShardDispatcher]


class Forwarder:
    """Passes on events of one stream, batch by batch, so that the order of a contact is kept."""

    def __init__(
        self, context: ConsumerContext, route: StreamRoute, history: EventHistory, unread_bytes: int
    ) -> None:
        """`unread_bytes`: how much consumers read beyond the acknowledged entries."""
        self._context = context
        self._route = route
        self._shards = shard_of_slot(list(route.ranges))
        self._history = history
        self._unread_bytes = unread_bytes

    async def deliver(self, events: Sequence[Forwarded]) -> None:
        """Return when the last shards have processed these events, and those that must be delivered
        again because of them. Redis is retried while it is unavailable."""
        moved = await self._deliver(events)
        if moved:
            find = partial(self._since, moved)
            again = await self._context.retry("Redis: history", "history", find)
            await self._deliver(again)
            self._context.fail_point(FailPoint.REDELIVERED)

    async def _deliver(self, events: Sequence[Forwarded]) -> list[Moved]:
        """Return when the last shards have processed these events, with the contacts to
        which they brought enrollments."""
        moved: list[Moved] = []
        while events:
            moved += [each for forwarded in events for each in _moved(forwarded)]
            processed = [self._put(each) for each in events]
            self._context.fail_point(FailPoint.FORWARDED)
            await asyncio.wait(processed)
            events = [each for future in processed for each in future.result()]
        return moved

    def _put(self, events: Forwarded) -> "asyncio.Future[Sequence[Forwarded]]":
        route = self._route
        dispatcher = route.dispatchers[self._shards[events.slot]]
        return dispatcher.put(route.stream, route.epoch, events.buffer, forwarded=True)

    async def _since(self, moved: Iterable[Moved]) -> list[Forwarded]:
        """The events of these contacts since their merges that may change enrollments."""
        now_us = self._context.clock.now_us()
        by_slot: dict[int, list[Moved]] = {}
        for each in moved:
            by_slot.setdefault(each.slot, []).append(each)
        found = []
        for slot, contacts in sorted(by_slot.items()):
            table = bytearray([OTHER_SLOTS]) * SLOTS
            table[slot] = 0
            router = _native.Router(bytes(table), max_buffer=MAX_BUFFER)
            since = min(each.received_ms for each in contacts)
            async for page in self._history.since(slot, since, self._unread_bytes):
                routed = router.route(list(page)).buffers
                buffers = [buffer for shard, buffer, _ in routed if shard != OTHER_SLOTS]
                of = {(each.tenant, each.contact) for each in contacts}
                found += [
                    Forwarded(slot, buffer)
                    for tenant, contact, buffer in _native.run_events(buffers, now_us)
                    if (tenant, contact) in of
                ]
        return found


def _moved(events: Forwarded) -> list[Moved]:
    """The contacts that these events bring enrollments to."""
    if not any(name in events.buffer for name in BRING_ENROLLMENTS):
        return []
    return [
        Moved(*_native.contact_of(event), events.slot, int(entry_id.partition(b"-")[0]))
        for entry_id, event in _native.buffer_entries(events.buffer)
        if any(name in event for name in BRING_ENROLLMENTS)
    ]
