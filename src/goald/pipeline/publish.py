"""Publish: turn outbox rows into stream entries, after the commit and before the
acknowledgement; and again what a crash left unpublished (step 5)."""

from collections.abc import Sequence

from goald.domain.errors import ServiceUnavailable
from goald.domain.leases import SlotLease
from goald.domain.steps import Reached, Step, pass_by
from goald.domain.streams import EXITS
from goald.metrics import ShardMetrics
from goald.pipeline.messages import stamped
from goald.pipeline.retry import retrying
from goald.ports import Clock, DeadLetter, Outbound, Outbox, StoredMessage

MARK_SECONDS = 0.1
RELAY_SECONDS = 1.0
FORGET_SECONDS = 60.0


class Publisher:
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
        reached: Reached = pass_by,
    ) -> None:
        self._outbox = outbox
        self._outbound = outbound
        self._lease = lease
        self._clock = clock
        self._metrics = metrics
        self._keep_seconds = keep_seconds
        self._reached = reached
        self._to_mark: list[int] = []
        self._marking: set[int] = set()
        self._publishing: set[int] = set()

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
            await retrying(
                lambda: self._send(rows, letters),
                self._clock,
                lambda: self._metrics.retries.labels("publish").inc(),
            )
        finally:
            self._publishing -= numbers
        self._to_mark += numbers
        self._metrics.exits.inc(sum(row.message.stream == EXITS for row in rows))
        self._metrics.rejected.inc(len(letters))

    async def _send(self, rows: Sequence[StoredMessage], letters: Sequence[DeadLetter]) -> None:
        if letters:
            await self._outbound.bury(letters)
            self._reached(Step.LETTERS_BURIED)
        if rows:
            now = self._clock.now_us()
            await self._outbound.publish([stamped(row.message, now) for row in rows])
            self._reached(Step.PUBLISHED)

    async def relay(self) -> None:
        """Publish what was committed and never marked: by a holder that died, or by a change
        of configuration."""
        rows = await self._outbox.unpublished(self._lease)
        handled = self._publishing | self._marking | set(self._to_mark)
        left = [row for row in rows if row.number not in handled]
        if left:
            await self.publish(left)

    async def run(self) -> None:
        """Mark, relay and forget until cancelled. Raises LeaseLost."""
        relayed = forgotten = self._clock.monotonic()
        while True:
            await self._clock.sleep(MARK_SECONDS)
            try:
                await self.mark()
                now = self._clock.monotonic()
                if now - relayed >= RELAY_SECONDS:
                    await self.relay()
                    relayed = self._clock.monotonic()
                if now - forgotten >= FORGET_SECONDS:
                    await self._outbox.forget_published(self._lease, self._keep_seconds)
                    forgotten = now
            except ServiceUnavailable:
                self._metrics.retries.labels("mark").inc()

    async def mark(self) -> None:
        """Mark what has been published since the last call."""
        if not self._to_mark:
            return
        self._marking = set(self._to_mark)
        self._to_mark = []
        try:
            await self._outbox.mark_published(self._lease, sorted(self._marking))
            self._reached(Step.MARKED)
        except BaseException:
            self._to_mark += self._marking
            raise
        finally:
            self._marking = set()
