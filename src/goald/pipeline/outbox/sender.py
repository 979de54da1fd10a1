"""The way of a range's messages into their streams: in pieces, stamped, one at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial

from goald.domain.fail_points import FailPoint, FailPointHook, no_op
from goald.domain.slots import SlotRange
from goald.metrics import ShardMetrics
from goald.pipeline.outbox.messages import stamped
from goald.pipeline.retry import retrying
from goald.pipeline.stall_detector import StallDetector
from goald.ports.clock import Clock
from goald.ports.outbound import DeadLetter, Message, Outbound, PublishedWatermark, ServerIdentity
from goald.ports.outbox import StoredMessage

PIECE_ROWS = 1_000
PIECE_BYTES = 4 << 20


class Sender:
    """Sends, and tries again for as long as Redis is away.

    With each piece it notes how far the range has come, and is told how far it had come
    before: if that is less than it noted itself, Redis has lost something (D10). Between two
    pieces it knows of each message whether Redis has taken it.
    """

    def __init__(
        self,
        outbound: Outbound,
        slots: SlotRange,
        clock: Clock,
        metrics: ShardMetrics,
        *,
        fail_point: FailPointHook = no_op,
    ) -> None:
        self._outbound = outbound
        self._slots = slots
        self._clock = clock
        self._metrics = metrics
        self._fail_point = fail_point
        self._one_at_a_time = asyncio.Lock()
        self._stall_detector = StallDetector(clock)
        self._greatest = 0
        self._noted = 0
        self._is_behind = False

    @property
    def not_ready_reason(self) -> str | None:
        """Why nothing can be published, where that has been so for a while."""
        return self._stall_detector.not_ready_reason

    def resume(self, number: int) -> None:
        """An earlier holder of the slots has published up to this number."""
        self._greatest = self._noted = max(number, self._greatest)

    async def send(
        self, rows: Sequence[StoredMessage], on_taken: Callable[[Sequence[int]], None]
    ) -> None:
        """Return when Redis has taken every message. `on_taken` hears of each piece at once."""
        for piece in _pieces(rows):
            await self._trying("publish", partial(self._send, piece, on_taken))
        self._fail_point(FailPoint.PUBLISHED)

    async def send_again(self, rows: Sequence[StoredMessage]) -> None:
        """The same for what has been published before: it comes no further by that."""
        for piece in _pieces(rows):
            await self._trying("publish", partial(self._send_again, piece))

    async def dead_letter(self, letters: Sequence[DeadLetter]) -> None:
        """Return when Redis has taken every letter."""
        await self._trying("dead_letter", partial(self._outbound.dead_letter, letters))
        self._fail_point(FailPoint.GROUP_DEAD_LETTERED)

    async def server_identity(self) -> ServerIdentity:
        """What Redis says of itself, after all that was sent before."""
        async with self._one_at_a_time:
            with self._stall_detector.step("Redis: publish"):
                identity = await self._outbound.server_identity(self._slots)
            self._is_behind |= identity.published < self._noted
        return identity

    @property
    def is_behind(self) -> bool:
        """Whether Redis has been found to have come less far than it had before."""
        return self._is_behind

    async def begin_republish(self, token: str) -> None:
        """What Redis had taken until now is to be sent again."""
        async with self._one_at_a_time:
            await self._outbound.begin_republish(self._slots, token)
            self._noted = 0
            self._is_behind = False

    async def complete_republish(self, token: str, name: str) -> bool:
        """It has been sent again; see `Outbound.complete_republish`."""
        return await self._outbound.complete_republish(
            PublishedWatermark(self._slots, self._greatest), token, name
        )

    async def _send(
        self, piece: Sequence[StoredMessage], on_taken: Callable[[Sequence[int]], None]
    ) -> None:
        numbers = [row.number for row in piece]
        async with self._one_at_a_time:
            greatest = max(self._greatest, *numbers)
            before = await self._outbound.publish(
                self._stamped(piece), PublishedWatermark(self._slots, greatest)
            )
            self._is_behind |= before < self._noted
            self._greatest = self._noted = greatest
            on_taken(numbers)

    async def _send_again(self, piece: Sequence[StoredMessage]) -> None:
        await self._outbound.publish(self._stamped(piece))

    def _stamped(self, piece: Sequence[StoredMessage]) -> list[Message]:
        now = self._clock.now_us()
        return [stamped(row.message, now) for row in piece]

    async def _trying(self, what: str, call: Callable[[], Awaitable[object]]) -> None:
        async def once() -> None:
            with self._stall_detector.step("Redis: publish"):
                await call()

        await retrying(once, self._clock, self._metrics.retries.labels(what).inc)


def _pieces(rows: Sequence[StoredMessage]) -> Iterator[Sequence[StoredMessage]]:
    """The rows in their order, in pieces that are small enough for one write."""
    start = size = 0
    for end, row in enumerate(rows):
        if end > start and (end - start >= PIECE_ROWS or size >= PIECE_BYTES):
            yield rows[start:end]
            start, size = end, 0
        size += len(row.message.payload)
    if start < len(rows):
        yield rows[start:]
