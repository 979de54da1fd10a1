"""Publish: turns outbox rows into stream entries after the commit and before the acknowledgement,
and publishes the rows that a crash left unpublished."""

import asyncio
from collections.abc import Sequence

from goald.domain.errors import ServiceUnavailable
from goald.domain.fail_points import FailPoint
from goald.domain.leases import SlotLease
from goald.domain.streams import OutboundStream
from goald.pipeline.context import ShardContext
from goald.pipeline.outbox.republish import MAX_EXIT_AGE_SECONDS, Republisher
from goald.pipeline.outbox.sender import Sender
from goald.ports.outbound import DeadLetter, Outbound
from goald.ports.outbox import Outbox, StoredMessage

MARK_SECONDS = 0.1
BACKLOG_SECONDS = 1.0
DELETE_SECONDS = 60.0


class OutboxPublisher:
    """Publishes a shard's committed messages, and marks them as published shortly afterwards.

    After a crash in between, the messages are published again under the same ids.
    """

    def __init__(
        self,
        context: ShardContext,
        outbox: Outbox,
        outbound: Outbound,
        lease: SlotLease,
        *,
        keep_seconds: float,
        exit_retry: float | None = None,
    ) -> None:
        """`keep_seconds`: how long published rows are kept, to be published again if a server
        is replaced (D10). `exit_retry`: seconds after which an unacknowledged exit is published
        again; None for never."""
        self._context = context
        self._outbox = outbox
        self._lease = lease
        self._keep_seconds = keep_seconds
        self._max_exit_age = MAX_EXIT_AGE_SECONDS if exit_retry is not None else 0.0
        self._sender = Sender(context, outbound, lease.slots)
        self._republisher = Republisher(
            context,
            outbox,
            self._sender,
            lease,
            self.mark,
            keep_seconds=keep_seconds,
            exit_retry=exit_retry,
        )
        self._to_mark: list[int] = []
        self._publishing: set[int] = set()
        self._marking = asyncio.Lock()
        self._publishing_backlog = asyncio.Lock()

    def expect(self, rows: Sequence[StoredMessage]) -> None:
        """Register rows that were just committed and are published next, so that
        `publish_backlog` skips them."""
        self._publishing.update(row.number for row in rows)

    async def publish(
        self, rows: Sequence[StoredMessage], dead_letters: Sequence[DeadLetter] = ()
    ) -> None:
        """Return when Redis has accepted every message. Retried while Redis is unavailable."""
        numbers = {row.number for row in rows}
        self._publishing |= numbers
        try:
            if dead_letters:
                await self._sender.dead_letter(dead_letters)
            if rows:
                await self._sender.send(rows, self._to_mark.extend)
        finally:
            self._publishing -= numbers
        self._context.metrics.exits.inc(
            sum(row.message.stream == OutboundStream.EXITS for row in rows)
        )
        self._context.metrics.rejected.inc(len(dead_letters))

    async def recognise(self) -> None:
        """Check whether Redis and Postgres are the servers of the slots' last publication. Must
        be called before the first publication; if they are not, `run` publishes again (D10)."""
        await self._republisher.recognise()

    async def publish_backlog(self) -> None:
        """Publish rows that an earlier holder or a change of the configuration committed and
        never marked. On return, everything committed before the call is published, or is
        being published by a concurrent call of `publish`."""
        after = 0
        async with self._publishing_backlog:
            while rows := await self._unpublished(after):
                if backlog := [row for row, is_unhandled in rows if is_unhandled]:
                    await self.publish(backlog)
                after = rows[-1][0].number

    async def _unpublished(self, after: int) -> list[tuple[StoredMessage, bool]]:
        """Return a page of unmarked rows, each with whether no other call handles it."""
        async with self._marking:
            rows = await self._outbox.unpublished(self._lease, after)
            handled = self._publishing | set(self._to_mark)
        return [(row, row.number not in handled) for row in rows]

    async def run(self) -> None:
        """Mark, publish the backlog, delete old rows and republish when due, until cancelled.
        Raises LeaseLost or ServerReplaced, in an ExceptionGroup."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._maintain())
            tasks.create_task(self._republisher.run())

    async def _maintain(self) -> None:
        clock = self._context.clock
        published = deleted = clock.monotonic()
        while True:
            await clock.sleep(MARK_SECONDS)
            try:
                await self.mark()
                now = clock.monotonic()
                if now - published >= BACKLOG_SECONDS:
                    await self.publish_backlog()
                    published = clock.monotonic()
                # One bounded deletion at a time, until nothing is left that was due at the start.
                overdue = now - deleted - DELETE_SECONDS
                if overdue >= 0 and not await self._delete_published(overdue):
                    deleted = now
            except ServiceUnavailable:
                self._context.metrics.retries.labels("mark").inc()

    async def _delete_published(self, overdue: float) -> int:
        """Delete some rows whose retention ended this many seconds ago; return how many."""
        keep = self._keep_seconds + overdue
        return await self._outbox.delete_published(self._lease, keep, self._max_exit_age)

    async def mark(self) -> None:
        """Mark the rows that were published since the last call."""
        async with self._marking:
            if not self._to_mark:
                return
            count = len(self._to_mark)
            await self._outbox.mark_published(self._lease, sorted(self._to_mark[:count]))
            del self._to_mark[:count]
            self._context.fail_point(FailPoint.MARKED)
