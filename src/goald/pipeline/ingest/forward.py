"""Forward: passes on the events of merged contacts to the shards of the contacts that continue them
(E21).

A shard answers with these events instead of processing them. They go from shard to shard, as far as
contacts were merged again, and a batch is acknowledged when the last has processed them. Nothing
else stores them: if a consumer or a shard dies, the events are read or sent again, and forwarded
again. If a contact is deleted while events are on their way to it, its shard passes them back.

The event that asks a shard for the enrollments of a merged contact is forwarded the same way.
When enrollments have moved or started under the other id, the events that the other contact
received since are delivered again, because they were processed without these enrollments. A
repetition changes nothing else (D1).
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from goald import _native
from goald.domain.fail_points import FailPoint
from goald.domain.slots import SlotRange, shard_of_slot
from goald.pipeline.context import ConsumerContext
from goald.pipeline.ingest.dispatch import ShardDispatcher
from goald.pipeline.ingest.redelivery import Moved, Redelivery
from goald.pipeline.shard_batch import Forwarded

BRING_ENROLLMENTS: Final = (b"workflow.transfer.moved", b"workflow.enrollment.started")
"""Events of these types bring enrollments to a contact."""


@dataclass(frozen=True, slots=True)
class StreamRoute:
    """The shards to which events of this stream are sent."""

    stream: str
    epoch: int
    ranges: Sequence[SlotRange]
    """The slots of each dispatcher's shard."""
    dispatchers: Sequence[ShardDispatcher]
    dispatched: dict[str, bytes]
    """The last entry that was dispatched of each stream of this consumer."""


class Forwarder:
    """Passes on events of one stream, batch by batch, so that the order of a contact is kept."""

    def __init__(
        self, context: ConsumerContext, route: StreamRoute, redelivery: Redelivery
    ) -> None:
        self._context = context
        self._route = route
        self._shards = shard_of_slot(list(route.ranges))
        self._redelivery = redelivery

    def has_dispatched(self, entry_id: bytes) -> None:
        """The entries of the stream up to this one are queued for the shards."""
        self._route.dispatched[self._route.stream] = entry_id

    async def deliver(self, events: Sequence[Forwarded]) -> None:
        """Return when the last shards have processed these events, and those that must be delivered
        again because of them. Redis is retried while it is unavailable."""
        moved = await self._deliver(events)
        if moved:
            async for page in self._redelivery.pages(moved):
                await self._deliver(page)
            self._context.fail_point(FailPoint.REDELIVERED)

    async def _deliver(self, events: Sequence[Forwarded]) -> list[Moved]:
        """Return when the last shards have processed these events, with the contacts to
        which they brought enrollments."""
        moved: list[Moved] = []
        while events:
            processed = [self._put(each) for each in events]
            self._context.fail_point(FailPoint.FORWARDED)
            await asyncio.wait(processed)
            # Later events of the contacts find the enrollments. Those dispatched meanwhile may not.
            dispatched = dict(self._route.dispatched)
            moved += [each for forwarded in events for each in _moved(forwarded, dispatched)]
            events = [each for future in processed for each in future.result()]
        return moved

    def _put(self, events: Forwarded) -> "asyncio.Future[Sequence[Forwarded]]":
        route = self._route
        dispatcher = route.dispatchers[self._shards[events.slot]]
        return dispatcher.put(route.stream, route.epoch, events.buffer, events.origin)


def _moved(events: Forwarded, dispatched: Mapping[str, bytes]) -> list[Moved]:
    """The contacts that these events bring enrollments to."""
    if not any(name in events.buffer for name in BRING_ENROLLMENTS):
        return []
    return [
        Moved(
            *_native.contact_of(event),
            events.slot,
            int(entry_id.partition(b"-")[0]),
            dispatched,
        )
        for entry_id, event in _native.buffer_entries(events.buffer)
        if any(name in event for name in BRING_ENROLLMENTS)
    ]
