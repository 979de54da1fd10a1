"""Sends the messages of a slot range to their streams, in chunks, one at a time."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from goald.domain.fail_points import FailPoint
from goald.domain.slots import SlotRange
from goald.pipeline.context import ShardContext
from goald.pipeline.outbox.messages import stamped
from goald.ports.outbound import DeadLetter, Message, Outbound, PublishedWatermark, ServerIdentity
from goald.ports.outbox import StoredMessage

CHUNK_ROWS = 1_000
CHUNK_BYTES = 4 << 20
PUBLISH = "Redis: publish"


class Sender:
    """Sends messages, and retries while Redis is unavailable.

    Each chunk also writes the watermark of the slot range and returns the previous one. If that
    is lower than the watermark this sender wrote, Redis has lost data (D10). Between two chunks,
    it is certain which messages Redis has accepted.
    """

    def __init__(self, context: ShardContext, outbound: Outbound, slots: SlotRange) -> None:
        self._context = context
        self._outbound = outbound
        self._slots = slots
        self._sending = asyncio.Lock()
        self._greatest = 0
        self._watermark = 0
        self._has_lost_data = False

    def resume(self, number: int) -> None:
        """Continue from the greatest number that an earlier holder of the slots published."""
        self._greatest = self._watermark = max(number, self._greatest)

    async def send(
        self, rows: Sequence[StoredMessage], on_accepted: Callable[[Sequence[int]], None]
    ) -> None:
        """Return when Redis has accepted every message. `on_accepted` is called with the numbers
        of each chunk as soon as Redis has accepted it."""
        for chunk in _chunks(rows):
            await self._context.retry(PUBLISH, "publish", partial(self._send, chunk, on_accepted))
        self._context.fail_point(FailPoint.PUBLISHED)

    async def resend(self, rows: Sequence[StoredMessage]) -> None:
        """As `send`, for messages that were published before; the watermark does not change."""
        for chunk in _chunks(rows):
            await self._context.retry(PUBLISH, "publish", partial(self._resend, chunk))

    async def dead_letter(self, dead_letters: Sequence[DeadLetter]) -> None:
        """Return when Redis has accepted every dead letter."""
        call = partial(self._outbound.dead_letter, dead_letters)
        await self._context.retry(PUBLISH, "dead_letter", call)
        self._context.fail_point(FailPoint.GROUP_DEAD_LETTERED)

    async def server_identity(self) -> ServerIdentity:
        """Return the server's identity after everything that was sent before."""
        async with self._sending:
            with self._context.stall_detector.attempt(PUBLISH):
                identity = await self._outbound.server_identity(self._slots)
            self._has_lost_data |= identity.published < self._watermark
        return identity

    @property
    def has_lost_data(self) -> bool:
        """Whether a watermark in Redis was lower than the one this sender wrote."""
        return self._has_lost_data

    async def begin_republish(self, token: str) -> None:
        """Record that the messages Redis has accepted so far are going to be sent again."""
        async with self._sending:
            await self._outbound.begin_republish(self._slots, token)
            self._watermark = 0
            self._has_lost_data = False

    async def complete_republish(self, token: str, name: str) -> bool:
        """Record that all these messages were sent again. See `Outbound.complete_republish`."""
        watermark = PublishedWatermark(self._slots, self._greatest)
        return await self._outbound.complete_republish(watermark, token, name)

    async def _send(
        self, chunk: Sequence[StoredMessage], on_accepted: Callable[[Sequence[int]], None]
    ) -> None:
        numbers = [row.number for row in chunk]
        async with self._sending:
            greatest = max(self._greatest, *numbers)
            previous = await self._outbound.publish(
                self._stamped(chunk), PublishedWatermark(self._slots, greatest)
            )
            self._has_lost_data |= previous < self._watermark
            self._greatest = self._watermark = greatest
            on_accepted(numbers)

    async def _resend(self, chunk: Sequence[StoredMessage]) -> None:
        await self._outbound.publish(self._stamped(chunk))

    def _stamped(self, chunk: Sequence[StoredMessage]) -> list[Message]:
        now = self._context.clock.now_us()
        return [stamped(row.message, now) for row in chunk]


def _chunks(rows: Sequence[StoredMessage]) -> Iterator[Sequence[StoredMessage]]:
    """Split rows, in order, into chunks that are small enough for one write."""
    start = size = 0
    for end, row in enumerate(rows):
        if end > start and (end - start >= CHUNK_ROWS or size >= CHUNK_BYTES):
            yield rows[start:end]
            start, size = end, 0
        size += len(row.message.payload)
    if start < len(rows):
        yield rows[start:]
