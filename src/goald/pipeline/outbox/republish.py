"""Publishes messages again, under the same ids: because Redis or Postgres was replaced or lost
data (D10), or because an exit was not acknowledged in time."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from goald.domain.errors import ServiceUnavailable
from goald.domain.fail_points import FailPoint
from goald.domain.leases import SlotLease
from goald.pipeline.context import ShardContext
from goald.pipeline.outbox.sender import Sender
from goald.ports.outbox import Outbox

CHECK_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 64.0
MAX_EXIT_AGE_SECONDS = 86_400.0
"""An exit older than this is not published again, because no acknowledgement is expected."""

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Republish:
    """A republication of everything that was published until a time of the database's clock."""

    name: str
    token: str
    until_us: int


class Republisher:
    """Detects that Redis or Postgres was replaced, and publishes messages again.

    Redis itself records the servers that a slot range has published to, so that the next
    holder of the slots recognises a replaced server. While messages are sent again, the record
    is a token instead of the servers' names. So a holder never mistakes an unfinished
    republication for a finished one, and notices a second loss during it.
    """

    def __init__(
        self,
        context: ShardContext,
        outbox: Outbox,
        sender: Sender,
        lease: SlotLease,
        mark: Callable[[], Awaitable[None]],
        *,
        keep_seconds: float,
        exit_retry: float | None,
    ) -> None:
        """`mark` marks everything that was sent as published. `keep_seconds` is how far back
        messages are published again. `exit_retry` is the number of seconds after which an
        unacknowledged exit is published again; None for never."""
        self._context = context
        self._outbox = outbox
        self._sender = sender
        self._lease = lease
        self._mark = mark
        self._keep_us = round(keep_seconds * 1e6)
        self._exit_retry = exit_retry
        self._is_replaced = False
        self._pending: _Republish | None = None
        self._count = 0
        self._pause = CHECK_SECONDS
        self._next_attempt = context.clock.monotonic()

    async def recognise(self) -> None:
        """Before the first message is sent: resume from the watermark of the earlier holder, and
        compare the servers with the recorded ones. Messages sent from now on are not part of a
        republication. Raises ServiceUnavailable."""
        self._sender.resume(await self._outbox.last_published(self._lease))
        name = await self._identify()
        if self._is_replaced:
            self._pending = await self._begin(name)

    async def run(self) -> None:
        """Every CHECK_SECONDS, identify the servers and republish when due, until cancelled."""
        while True:
            try:
                name = await self._identify()
                if self._is_replaced and self._context.clock.monotonic() >= self._next_attempt:
                    await self._republish(name)
                if self._exit_retry is not None:
                    await self._retry_exits(self._exit_retry)
            except ServiceUnavailable:
                self._context.metrics.retries.labels("republish").inc()
            await self._context.clock.sleep(CHECK_SECONDS)

    async def _identify(self) -> str:
        """Return the name of the current Redis and Postgres; note if they were replaced."""
        identity = await self._sender.server_identity()
        name = f"{identity.run_id} {(await self._outbox.database_identity()).name}"
        self._is_replaced |= identity.recorded != name or self._sender.has_lost_data
        return name

    async def _begin(self, name: str) -> _Republish:
        self._count += 1
        token = f"{name} {self._lease.epoch}.{self._count} at {self._context.clock.now_us()}"
        await self._sender.begin_republish(token)
        await self._mark()
        return _Republish(name, token, (await self._outbox.database_identity()).now_us)

    async def _republish(self, name: str) -> None:
        # Each attempt sends everything, so the pause between attempts doubles until one succeeds.
        self._next_attempt = self._context.clock.monotonic() + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
        republish, self._pending = self._pending, None
        if republish is None or republish.name != name:
            republish = await self._begin(name)
        count = await self._resend(republish.until_us)
        self._context.fail_point(FailPoint.REPUBLISHED)
        if await self._sender.complete_republish(republish.token, name):
            self._is_replaced = False
            self._pause = CHECK_SECONDS
            if count:
                _log.warning(
                    "Redis or Postgres was replaced or lost data: the messages of the last "
                    "minutes were published again",
                    messages=count,
                    slots=str(self._lease.slots),
                )

    async def _resend(self, until_us: int) -> int:
        after = count = 0
        since_us = until_us - self._keep_us
        while rows := await self._outbox.published(self._lease, since_us, until_us, after):
            await self._sender.resend(rows)
            self._context.metrics.republished.inc(len(rows))
            count += len(rows)
            after = rows[-1].number
        return count

    async def _retry_exits(self, after_s: float) -> None:
        """Republish exits that the workflow engine has not acknowledged in time. Stop after
        CHECK_SECONDS."""
        end = self._context.clock.monotonic() + CHECK_SECONDS
        while self._context.clock.monotonic() < end:
            rows = await self._outbox.due_exits(self._lease, after_s, MAX_EXIT_AGE_SECONDS)
            if not rows:
                break
            await self._sender.resend(rows)
            await self._outbox.mark_republished(self._lease, [row.number for row in rows])
            self._context.metrics.exits_retried.inc(len(rows))
