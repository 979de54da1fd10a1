"""Publish: turn outbox rows into stream entries, after the commit and before the
acknowledgement; and again what a crash left unpublished (step 5)."""

import asyncio
from collections.abc import Sequence

from goald.domain.errors import ServiceUnavailable
from goald.domain.fail_points import FailPoint, FailPointHook, no_op
from goald.domain.leases import SlotLease
from goald.domain.streams import OutboundStream
from goald.metrics import ShardMetrics
from goald.pipeline.outbox.republish import WAITING_SECONDS, Republisher
from goald.pipeline.outbox.sender import Sender
from goald.ports.clock import Clock
from goald.ports.outbound import DeadLetter, Outbound
from goald.ports.outbox import Outbox, StoredMessage

MARK_SECONDS = 0.1
RELAY_SECONDS = 1.0
FORGET_SECONDS = 60.0


class OutboxPublisher:
    """Publishes what a shard commits, and marks it as published a little later.

    A crash in between publishes it again, under the same id.
    """

    def __init__(
        self,
        outbox: Outbox,
        outbound: Outbound,
        lease: SlotLease,
        clock: Clock,
        metrics: ShardMetrics,
        *,
        keep_seconds: float,
        exit_retry: float | None = None,
        fail_point: FailPointHook = no_op,
    ) -> None:
        """`keep_seconds`: how long what is published stays in the outbox, to be published
        again if a server comes back as another (D10). `exit_retry`: after how many seconds an
        exit that nobody has acknowledged is published again; None for never."""
        self._outbox = outbox
        self._lease = lease
        self._clock = clock
        self._metrics = metrics
        self._keep_seconds = keep_seconds
        self._wait_seconds = WAITING_SECONDS if exit_retry is not None else 0.0
        self._fail_point = fail_point
        self._sender = Sender(outbound, lease.slots, clock, metrics, fail_point=fail_point)
        self._republisher = Republisher(
            outbox,
            self._sender,
            lease,
            clock,
            metrics,
            mark=self.mark,
            keep_seconds=keep_seconds,
            exit_retry=exit_retry,
            fail_point=fail_point,
        )
        self._to_mark: list[int] = []
        self._marking: set[int] = set()
        self._publishing: set[int] = set()
        self._marks = asyncio.Lock()
        self._relaying = asyncio.Lock()

    @property
    def not_ready_reason(self) -> str | None:
        """Why nothing can be published, where that has been so for a while."""
        return self._sender.not_ready_reason

    def expect(self, rows: Sequence[StoredMessage]) -> None:
        """These were just committed and are to be published in their turn: `relay` is to
        leave them alone."""
        self._publishing.update(row.number for row in rows)

    async def publish(
        self, rows: Sequence[StoredMessage], letters: Sequence[DeadLetter] = ()
    ) -> None:
        """Return when Redis has taken every message; tries again for as long as it is away."""
        numbers = {row.number for row in rows}
        self._publishing |= numbers
        try:
            if letters:
                await self._sender.dead_letter(letters)
            if rows:
                await self._sender.send(rows, self._to_mark.extend)
        finally:
            self._publishing -= numbers
        self._metrics.exits.inc(sum(row.message.stream == OutboundStream.EXITS for row in rows))
        self._metrics.rejected.inc(len(letters))

    async def recognise(self) -> None:
        """Look whether Redis and Postgres are those that the slots were published with. To be
        called before anything is published; if they are not, `run` publishes again (D10)."""
        await self._republisher.recognise()

    async def relay(self) -> None:
        """Publish what was committed and never marked: by a holder that died, or by a change
        of configuration. When it returns, all that was committed before the call is
        published, or is being so by another call of `publish`."""
        after = 0
        async with self._relaying:
            while rows := await self._unpublished(after):
                if left := [row for row, is_left in rows if is_left]:
                    await self.publish(left)
                after = rows[-1][0].number

    async def _unpublished(self, after: int) -> list[tuple[StoredMessage, bool]]:
        """A page of rows that are not marked, and whether nobody is at work on each."""
        async with self._marks:
            rows = await self._outbox.unpublished(self._lease, after)
            handled = self._publishing | set(self._to_mark)
        return [(row, row.number not in handled) for row in rows]

    async def run(self) -> None:
        """Mark, relay, forget, and publish again what is due, until cancelled. Raises
        LeaseLost or ServerReplaced, in an ExceptionGroup."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow())
            tasks.create_task(self._republisher.run())

    async def _follow(self) -> None:
        relayed = forgotten = self._clock.monotonic()
        while True:
            await self._clock.sleep(MARK_SECONDS)
            try:
                await self.mark()
                now = self._clock.monotonic()
                if now - relayed >= RELAY_SECONDS:
                    await self.relay()
                    relayed = self._clock.monotonic()
                # Some at each turn, until none is left that was due when it began.
                if (over := now - forgotten - FORGET_SECONDS) >= 0 and not await self._forget(over):
                    forgotten = now
            except ServiceUnavailable:
                self._metrics.retries.labels("mark").inc()

    async def _forget(self, over: float) -> int:
        """Delete some of what had been kept for long enough so many seconds ago; how many."""
        keep = self._keep_seconds + over
        return await self._outbox.delete_published(self._lease, keep, self._wait_seconds)

    async def mark(self) -> None:
        """Mark what has been published until now, and is not marked."""
        async with self._marks:
            if not self._to_mark:
                return
            marking = len(self._to_mark)
            await self._outbox.mark_published(self._lease, sorted(self._to_mark[:marking]))
            del self._to_mark[:marking]
            self._fail_point(FailPoint.MARKED)
