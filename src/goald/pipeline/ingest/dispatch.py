"""Dispatch: sends batches to one shard in order, again after a failure, and never too many."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from goald.domain.errors import BreakerOpen, RetryableError, ShardDied
from goald.pipeline.context import ConsumerContext
from goald.pipeline.ingest.marks import MarkSender
from goald.pipeline.ingest.outstanding import Outstanding, QueuedBatch
from goald.pipeline.poison.dead_letters import DeadLetters
from goald.pipeline.poison.delivery_attempts import MAX_ATTEMPTS
from goald.pipeline.shard_batch import Forwarded, Origin, Processed, Shard
from goald.pipeline.stall_detector import STALL_SECONDS
from goald.settings import DispatchSettings

RETRY_SECONDS = 0.1
LONGEST_RETRY_SECONDS = 0.5
SMALL_BYTES = 90_000
"""Up to about this size, the arguments of a Ray call travel inside it instead of through the
object store."""
CALL_DIVISORS = (1, 8, 1 << 30)
"""The size of a call is divided by this, by how often the shard died with its batches."""


@dataclass(frozen=True, slots=True)
class _Call:
    """The batches of one call in flight."""

    batches: list[QueuedBatch]
    awaits_deferred: bool = False
    """It waits for deferred events of one stream (D8), and holds up no other call."""

    @property
    def size(self) -> int:
        return sum(len(batch.buffer) for batch in self.batches)


class ShardDispatcher:
    """Sends the batches of one consumer to one shard.

    Batches that arrive while a call is in flight share the next call. After a failed call, the
    dispatcher waits for its other calls, but not for deferred events, and sends again from the
    first batch that is not known to be processed. If the shard died, the event that killed it is
    found by delivery attempts (`poison/delivery_attempts.py`); no batch overtakes it meanwhile
    (D4).
    """

    def __init__(
        self,
        number: int,
        shard: Shard,
        settings: DispatchSettings,
        context: ConsumerContext,
        dead_letters: DeadLetters,
        outstanding: Outstanding,
    ) -> None:
        """`number` is the shard's, for the not-ready reason."""
        self._number = number
        self._shard = shard
        self._settings = settings
        self._clock = context.clock
        self._metrics = context.metrics
        self._dead_letters = dead_letters
        self._outstanding = outstanding
        self.marks = MarkSender(shard, outstanding, context.clock)
        self._queue: deque[QueuedBatch] = deque()
        self._in_flight: dict[asyncio.Task[Processed], _Call] = {}
        self._deferred: dict[str, deque[QueuedBatch]] = {}
        """By stream: batches with deferred events for which no call waits."""
        self._wake = asyncio.Event()
        self._failing_since: float | None = None
        self._pause = RETRY_SECONDS

    @property
    def not_ready_reason(self) -> str | None:
        """Why the consumer is not ready: the shard has failed every call for STALL_SECONDS."""
        since = self._failing_since
        if since is None or self._clock.monotonic() - since <= STALL_SECONDS:
            return None
        return f"shard {self._number} accepts no events"

    @property
    def awaits_deferred(self) -> bool:
        """Whether the shard has deferred events of batches that were sent to it (D8)."""
        return bool(self._deferred) or any(
            call.awaits_deferred for call in self._in_flight.values()
        )

    def put(
        self, stream: str, epoch: int, buffer: bytes, origin: Origin | None = None
    ) -> "asyncio.Future[Sequence[Forwarded]]":
        """Queue a buffer; the future is done when the shard has processed it, with the events to
        pass on (E21). Does not wait. `origin`: see `ShardBatch`.

        The caller bounds how much is queued.
        """
        batch = self._outstanding.add(stream, epoch, buffer, origin)
        self._queue.append(batch)
        self._wake.set()
        return batch.processed

    async def run(self) -> None:
        """Send batches until cancelled. Raises the shard's error if it is not retryable."""
        try:
            while True:
                await self._remove_poison()
                self._start_calls()
                if not self._in_flight:
                    self._wake.clear()
                    await self._wake.wait()
                elif not await self._await_calls():
                    self._metrics.dispatch_retries.inc()
                    await self._clock.sleep(self._pause)
                    self._pause = min(2 * self._pause, LONGEST_RETRY_SECONDS)
        finally:
            for call in self._in_flight:
                call.cancel()

    async def _remove_poison(self) -> None:
        """Dead-letter events that the shard died of MAX_ATTEMPTS times. If the circuit breaker
        opens, send nothing more: unprocessed batches wait for the next start of the process."""
        try:
            while self._queue and self._queue[0].attempts >= MAX_ATTEMPTS and not self._in_flight:
                batch = self._queue[0]
                await self._dead_letters.write_poison(batch.stream, batch.buffer)
                self._outstanding.complete(self._queue.popleft())
            self._dead_letters.breaker.check()
        except BreakerOpen:
            await asyncio.Event().wait()

    def _start_calls(self) -> None:
        awaited = {c.batches[0].stream for c in self._in_flight.values() if c.awaits_deferred}
        for stream in sorted(self._deferred.keys() - awaited):
            self._call(_Call(self._take_deferred(stream), awaits_deferred=True))
        while self._queue and self._may_call():
            self._call(_Call(self._take()))

    def _call(self, call: _Call) -> None:
        may_be_deferred = not call.awaits_deferred and not any(
            batch.attempts for batch in call.batches
        )
        messages = [
            self._outstanding.message(batch, may_be_deferred=may_be_deferred)
            for batch in call.batches
        ]
        self._in_flight[asyncio.ensure_future(self._shard.process(messages))] = call

    def _may_call(self) -> bool:
        """Whether another call may start now.

        A shard commits one group at a time, and a call costs much the same whatever its size.
        So a second call starts only if it is full, or if both are small. Calls that wait for
        deferred events hold up no other. Suspect batches are sent in one call at a time.
        """
        if not self._in_flight:
            return True
        if self._queue[0].attempts or any(
            batch.attempts for call in self._in_flight.values() for batch in call.batches
        ):
            return False
        calls = [call for call in self._in_flight.values() if not call.awaits_deferred]
        if not calls:
            return True
        if len(calls) >= self._settings.calls_in_flight:
            return False
        waiting = sum(len(batch.buffer) for batch in self._queue)
        in_flight = sum(call.size for call in calls)
        return waiting >= self._settings.bytes or waiting + in_flight <= SMALL_BYTES

    def _take(self) -> list[QueuedBatch]:
        """Remove the batches of the next call from the queue: up to the size of a call, and at
        least one. Batches with which the shard died for the first time are sent in smaller calls,
        and alone after it died again."""
        batches = [self._queue.popleft()]
        attempts, size = batches[0].attempts, len(batches[0].buffer)
        limit = self._settings.bytes // CALL_DIVISORS[min(attempts, len(CALL_DIVISORS) - 1)]
        while (
            self._queue
            and self._queue[0].attempts == attempts
            and size + len(self._queue[0].buffer) <= limit
        ):
            size += len(self._queue[0].buffer)
            batches.append(self._queue.popleft())
        return batches

    def _take_deferred(self, stream: str) -> list[QueuedBatch]:
        """Remove batches with deferred events, the first that the shard was given, up to the
        size of a call and at least one."""
        deferred = self._deferred[stream]
        batches = [deferred.popleft()]
        size = len(batches[0].buffer)
        while deferred and size + len(deferred[0].buffer) <= self._settings.bytes:
            size += len(deferred[0].buffer)
            batches.append(deferred.popleft())
        if not deferred:
            del self._deferred[stream]
        return batches

    async def _await_calls(self) -> bool:
        """Wait until a call ends or a batch is queued; return False if any call failed."""
        self._wake.clear()
        woken = asyncio.ensure_future(self._wake.wait())
        try:
            await asyncio.wait({woken, *self._in_flight}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()
        failed = self._remove_ended()
        if failed:
            await self._send_again(failed)
        return not failed

    def _remove_ended(self) -> dict[asyncio.Task[Processed], _Call]:
        """Remove the calls that ended from those in flight, and return those that failed."""
        ended = {task: call for task, call in self._in_flight.items() if task.done()}
        failed = {task: call for task, call in ended.items() if not self._succeeded(task)}
        for task in ended:
            del self._in_flight[task]
        return failed

    async def _send_again(self, failed: dict[asyncio.Task[Processed], _Call]) -> None:
        """After these calls failed, queue the batches to send again. Waits for the other calls.
        Calls that wait for deferred events may last as long as the work of a tenant, and stay in
        flight unless the shard died."""
        while others := {
            task
            for task, call in self._in_flight.items()
            if not call.awaits_deferred or any(map(_died, failed))
        }:
            await asyncio.wait(others)
            failed |= self._remove_ended()
        suspects = {each for task, call in failed.items() if _died(task) for each in call.batches}
        if suspects:
            suspects.update(*self._deferred.values())
        if not self._in_flight:
            self._deferred.clear()
        sent = [call.batches for call in self._in_flight.values()]
        self._metrics.suspect_batches.inc(len(suspects))
        self._queue = self._outstanding.resend(
            self._queue, suspects, list(chain(*sent, *self._deferred.values()))
        )

    def _succeeded(self, call: "asyncio.Task[Processed]") -> bool:
        """Return whether a call that ended succeeded; if so, its batches are processed, or have
        deferred events. Raises the call's error if it is not retryable."""
        error = call.exception()
        if error is None:
            deferred, forwarded = frozenset(call.result()[0]), dict(call.result()[1])
            for index, batch in enumerate(self._in_flight[call].batches):
                if index in deferred:
                    self._deferred.setdefault(batch.stream, deque()).append(batch)
                else:
                    self._outstanding.complete(batch, forwarded.get(index, ()))
            self._failing_since = None
            self._dead_letters.breaker.record_success()
            self._pause = RETRY_SECONDS
            return True
        if self._failing_since is None:
            self._failing_since = self._clock.monotonic()
        if isinstance(error, BreakerOpen):
            self._dead_letters.breaker.open(str(error))
        elif not isinstance(error, RetryableError):
            raise error
        return False


def _died(call: "asyncio.Task[Processed]") -> bool:
    """Return whether a call failed because the shard died."""
    return isinstance(call.exception(), ShardDied)
