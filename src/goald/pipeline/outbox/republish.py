"""Publishing again what Redis had taken: because it came back as another, or with less (D10),
or because an exit is not acknowledged (3.2). Always under the same ids."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from goald.domain.errors import ServiceUnavailable
from goald.domain.fail_points import FailPoint, FailPointHook, no_op
from goald.domain.leases import SlotLease
from goald.metrics import ShardMetrics
from goald.pipeline.outbox.sender import Sender
from goald.ports.clock import Clock
from goald.ports.outbox import Outbox

LOOK_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 64.0
WAITING_SECONDS = 86_400.0
"""So long after its commit an exit is still published again; then nobody is expected to
acknowledge it."""


@dataclass(frozen=True, slots=True)
class _Again:
    """What is to be published again: all that was published until a time of the database's."""

    name: str
    token: str
    until_us: int


_log = structlog.stdlib.get_logger(__name__)


class Republisher:
    """Knows which Redis and which Postgres hold what a range of slots has published.

    Redis itself is told: whoever holds the slots next, or finds another server, sees whether
    it is the same. While messages are sent again it is known by a token instead, so that
    nobody takes it for done before it is, and nothing that is lost meanwhile goes unseen.
    """

    def __init__(
        self,
        outbox: Outbox,
        sender: Sender,
        lease: SlotLease,
        clock: Clock,
        metrics: ShardMetrics,
        *,
        mark: Callable[[], Awaitable[None]],
        keep_seconds: float,
        exit_retry: float | None,
        fail_point: FailPointHook = no_op,
    ) -> None:
        """`mark`: sees to it that all that was sent is marked as published."""
        self._outbox = outbox
        self._sender = sender
        self._lease = lease
        self._clock = clock
        self._metrics = metrics
        self._mark = mark
        self._keep_us = round(keep_seconds * 1e6)
        self._exit_retry = exit_retry
        self._fail_point = fail_point
        self._is_another = False
        self._again: _Again | None = None
        self._times = 0
        self._pause = LOOK_SECONDS
        self._next_time = clock.monotonic()

    async def recognise(self) -> None:
        """Before the first message is sent: take up what an earlier holder knew, and look.
        What is sent from now on need not be sent again. Raises ServiceUnavailable."""
        self._sender.resume(await self._outbox.last_published(self._lease))
        name = await self._name()
        if self._is_another:
            self._again = await self._begin(name)

    async def run(self) -> None:
        """Look each second, and send again what is to be sent again, until cancelled."""
        while True:
            try:
                name = await self._name()
                if self._is_another and self._clock.monotonic() >= self._next_time:
                    await self._publish_again(name)
                if self._exit_retry is not None:
                    await self._retry_exits(self._exit_retry)
            except ServiceUnavailable:
                self._metrics.retries.labels("republish").inc()
            await self._clock.sleep(LOOK_SECONDS)

    async def _name(self) -> str:
        """Of Redis and Postgres as they are now; notes if they are not those that were."""
        identity = await self._sender.server_identity()
        name = f"{identity.run_id} {(await self._outbox.database_identity()).name}"
        self._is_another |= identity.recorded != name or self._sender.is_behind
        return name

    async def _begin(self, name: str) -> _Again:
        self._times += 1
        token = f"{name} {self._lease.epoch}.{self._times} at {self._clock.now_us()}"
        await self._sender.begin_republish(token)
        await self._mark()
        return _Again(name, token, (await self._outbox.database_identity()).now_us)

    async def _publish_again(self, name: str) -> None:
        # Where it comes to no end it is tried less and less often: each try sends all of it.
        self._next_time = self._clock.monotonic() + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
        again, self._again = self._again, None
        if again is None or again.name != name:
            again = await self._begin(name)
        count = await self._send_again(again.until_us)
        self._fail_point(FailPoint.REPUBLISHED)
        if await self._sender.complete_republish(again.token, name):
            self._is_another = False
            self._pause = LOOK_SECONDS
            if count:
                _log.warning(
                    "Redis or Postgres came back as another: what was published in the last "
                    "minutes is published again",
                    messages=count,
                    slots=str(self._lease.slots),
                )

    async def _send_again(self, until_us: int) -> int:
        after = count = 0
        since_us = until_us - self._keep_us
        while rows := await self._outbox.published(self._lease, since_us, until_us, after):
            await self._sender.send_again(rows)
            self._metrics.republished.inc(len(rows))
            count += len(rows)
            after = rows[-1].number
        return count

    async def _retry_exits(self, after_s: float) -> None:
        """As many as there is time for before the next look."""
        end = self._clock.monotonic() + LOOK_SECONDS
        while self._clock.monotonic() < end:
            rows = await self._outbox.due_exits(self._lease, after_s, WAITING_SECONDS)
            if not rows:
                break
            await self._sender.send_again(rows)
            await self._outbox.mark_republished(self._lease, [row.number for row in rows])
            self._metrics.exits_retried.inc(len(rows))
