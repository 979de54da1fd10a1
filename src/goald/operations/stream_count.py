"""Shows the event streams and changes their number.

A contact's events are in order within one stream, and another number of streams moves most
contacts to another stream. The number therefore changes only when every event is acknowledged,
and producers wait meanwhile.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from goald.domain.errors import NotDrained, ServiceUnavailable, StreamCountMismatch
from goald.ports.stream_admin import StreamAdmin, StreamDepth
from goald.redis_keys import event_stream

POLL_SECONDS = 0.1
REPORT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class StreamsOverview:
    """The event streams of one goald."""

    count: int
    changing_to: int | None
    """The number that a pending change sets; None if no change is pending."""
    streams: Sequence[StreamDepth]
    unread: Sequence[str]
    """Streams beyond their number that hold entries: goald does not read them."""


class StreamCount:
    """The number of event streams. Every method may raise ServiceUnavailable."""

    def __init__(self, admin: StreamAdmin) -> None:
        self._admin = admin

    async def overview(self) -> StreamsOverview:
        """The streams as they are now."""
        count = await self._admin.count()
        depths = await self._admin.depths()
        read = {event_stream(partition) for partition in range(count)}
        return StreamsOverview(
            count=count,
            changing_to=await self._admin.pending_count(),
            streams=depths,
            unread=[depth.name for depth in depths if depth.name not in read],
        )

    async def change(
        self, count: int, timeout_s: float, waiting: Callable[[int], None] = lambda _: None
    ) -> int:
        """Change the number to `count` when every event is acknowledged; return the previous
        number. `waiting` receives the number of unacknowledged entries every few seconds.

        Raises NotDrained, with nothing changed, after `timeout_s` or if another change is in
        progress; StreamCountMismatch if another command changed the number meanwhile.
        """
        before = await self._admin.count()
        if before == count:
            await self._admin.store_count(count)  # A default becomes permanent.
            return before
        await self._admin.begin_change(count)
        try:
            await self._drain_and_change(before, count, timeout_s, waiting)
        finally:
            with contextlib.suppress(ServiceUnavailable):  # The pending change expires.
                await self._admin.cancel_change(count)
        return before

    async def _drain_and_change(
        self, before: int, count: int, timeout_s: float, waiting: Callable[[int], None]
    ) -> None:
        deadline = time.monotonic() + timeout_s
        reported_at = 0.0
        while not await self._admin.change_count(before, count):
            stored = await self._admin.count()
            if stored == count:  # The same command in another terminal was faster.
                return
            if stored != before:
                raise StreamCountMismatch(
                    f"another command changed the number of event streams to {stored}"
                )
            unacknowledged = await self._unacknowledged(before)
            if time.monotonic() >= deadline:
                raise _not_drained(unacknowledged, timeout_s)
            if time.monotonic() - reported_at >= REPORT_SECONDS:
                reported_at = time.monotonic()
                waiting(sum(unacknowledged.values()))
            await asyncio.sleep(POLL_SECONDS)
            await self._admin.begin_change(count)

    async def _unacknowledged(self, count: int) -> dict[str, int]:
        lag = await self._admin.lag()
        return {name: lag.get(name, 0) for name in map(event_stream, range(count))}


def _not_drained(unacknowledged: dict[str, int], timeout_s: float) -> NotDrained:
    streams = ", ".join(f"{name}: {count:,}" for name, count in unacknowledged.items() if count)
    return NotDrained(
        f"nothing was changed: after {timeout_s:g} s some events are not acknowledged "
        f"({streams or 'new events arrived'}). Check that goald is ready (`goald status`) and stop "
        "producers that do not use goald's Publisher"
    )
