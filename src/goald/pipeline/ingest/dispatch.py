"""Hand over: carry parts to one shard in order, again when it was down, never too many."""

import asyncio
from collections import deque
from dataclasses import dataclass
from functools import partial
from itertools import count

from goald.domain.errors import BreakerOpen, RetryableError, ShardDied
from goald.domain.fail_points import FailPoint, FailPointHook, no_op
from goald.metrics import ConsumerMetrics
from goald.pipeline.poison import delivery_attempts as tries
from goald.pipeline.poison.breaker import CircuitBreaker
from goald.pipeline.retry import retrying
from goald.pipeline.shard_batch import Shard, ShardBatch
from goald.pipeline.stall_detector import STALL_SECONDS
from goald.ports.clock import Clock
from goald.ports.outbound import Outbound
from goald.settings import DispatchSettings

RETRY_SECONDS = 0.1
LONGEST_RETRY_SECONDS = 0.5
SMALL_BYTES = 90_000
"""Up to about so much, a call's arguments travel within it, and not through Ray's store."""
SHARES = (1, 8, 1 << 30)
"""What part of a call's bytes is filled, by how often the shard died with them."""


@dataclass(eq=False, slots=True)
class _Item:
    stream: str
    epoch: int
    sequence: int
    buffer: bytes
    done: "asyncio.Future[None]"
    tries: int = 0
    """How often the shard died while it had this."""
    done_at: float = 0.0

    @property
    def is_tried_alone(self) -> bool:
        return self.tries >= tries.TRIES_TOGETHER


class ShardDispatcher:
    """The way from one consumer to one shard.

    Parts that arrive while a call is under way share the next one. After a call that failed,
    the lane waits for the others under way, and begins again at the first part that is not
    known to be done. What the shard died of, if it was that, is found as `tries` says; nothing
    overtakes it meanwhile (D4).
    """

    def __init__(
        self,
        shard: Shard,
        settings: DispatchSettings,
        clock: Clock,
        metrics: ConsumerMetrics,
        outbound: Outbound,
        breaker: CircuitBreaker,
        *,
        hold: float = 0.0,
        fail_point: FailPointHook = no_op,
    ) -> None:
        """`hold`: seconds that a part is kept after it is done, to be sent again with what is
        not: so long the shard may remember of it what nobody has written down (E7)."""
        self._shard = shard
        self._hold = hold
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._outbound = outbound
        self._breaker = breaker
        self._fail_point = fail_point
        self._failing_since: float | None = None
        self._numbers: dict[tuple[str, int], count[int]] = {}
        self._outstanding: dict[str, deque[_Item]] = {}
        self._queue: deque[_Item] = deque()
        self._in_flight: dict[asyncio.Task[None], list[_Item]] = {}
        self._wake = asyncio.Event()
        self._pause = RETRY_SECONDS

    @property
    def is_lost(self) -> bool:
        """Whether the shard has been taking nothing for some time."""
        since = self._failing_since
        return since is not None and self._clock.monotonic() - since > STALL_SECONDS

    def put(self, stream: str, epoch: int, buffer: bytes) -> "asyncio.Future[None]":
        """Hand over a buffer; the future is done when the shard is done with it. Does not wait.

        The caller bounds how much it puts without waiting for the futures.
        """
        numbers = self._numbers.setdefault((stream, epoch), count())
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        item = _Item(stream, epoch, next(numbers), buffer, future)
        self._queue.append(item)
        self._outstanding.setdefault(stream, deque()).append(item)
        self._wake.set()
        return future

    async def run(self) -> None:
        """Carry parts until cancelled. Raises what the shard raises and no retry can mend."""
        try:
            while True:
                await self._set_aside()
                self._start_calls()
                if not self._in_flight:
                    self._wake.clear()
                    await self._wake.wait()
                elif not await self._await_calls():
                    self._metrics.resent.inc()
                    await self._clock.sleep(self._pause)
                    self._pause = min(2 * self._pause, LONGEST_RETRY_SECONDS)
        finally:
            for task in self._in_flight:
                task.cancel()

    async def _set_aside(self) -> None:
        """Bury what the shard died of each time. Where the breaker opens nothing more is sent:
        what is not done waits for another start of the process."""
        try:
            while self._queue and self._queue[0].tries >= tries.TRIES and not self._in_flight:
                await self._bury(self._queue[0])
                self._complete(self._queue.popleft())
            self._breaker.check()
        except BreakerOpen:
            await asyncio.Event().wait()

    async def _bury(self, item: _Item) -> None:
        self._breaker.failed(tries.tenant_of(item.buffer))
        letters = tries.letters(item.stream, item.buffer)
        await retrying(
            partial(self._outbound.dead_letter, letters),
            self._clock,
            self._metrics.retries.labels("dead_letter").inc,
        )
        self._fail_point(FailPoint.REJECTS_DEAD_LETTERED)
        self._metrics.buried.inc(len(letters))

    def _start_calls(self) -> None:
        while self._queue and self._may_call():
            items = self._take()
            parts = [
                ShardBatch(
                    item.stream,
                    item.epoch,
                    item.sequence,
                    self._floor(item),
                    item.buffer,
                    item.is_tried_alone,
                )
                for item in items
            ]
            self._in_flight[asyncio.ensure_future(self._shard.process(parts))] = items

    def _may_call(self) -> bool:
        """A shard settles one group at a time, and a call costs much the same whatever it
        carries: beside one under way another goes only if it is full, or both are small."""
        if not self._in_flight:
            return True
        if len(self._in_flight) >= self._settings.calls_in_flight:
            return False
        if self._queue[0].tries or any(
            i.tries for items in self._in_flight.values() for i in items
        ):
            return False
        waiting = sum(len(item.buffer) for item in self._queue)
        in_flight = sum(len(item.buffer) for items in self._in_flight.values() for item in items)
        return waiting >= self._settings.bytes or waiting + in_flight <= SMALL_BYTES

    def _take(self) -> list[_Item]:
        """From the head of the queue, up to the bytes of a call, one item at least. What the
        shard died with once goes in smaller calls, and what it died with again by itself."""
        taken = [self._queue.popleft()]
        size = len(taken[0].buffer)
        most = self._settings.bytes // SHARES[min(taken[0].tries, len(SHARES) - 1)]
        while (
            self._queue
            and self._queue[0].tries == taken[0].tries
            and size + len(self._queue[0].buffer) <= most
        ):
            size += len(self._queue[0].buffer)
            taken.append(self._queue.popleft())
        return taken

    def _floor(self, item: _Item) -> int:
        outstanding = self._outstanding[item.stream]
        return min(item.sequence, outstanding[0].sequence) if outstanding else item.sequence

    def _complete(self, item: _Item) -> None:
        now = self._clock.monotonic()
        if not item.done.done():
            item.done.set_result(None)
            item.done_at = now
        outstanding = self._outstanding[item.stream]
        while outstanding and (first := outstanding[0]).done.done():
            if now - first.done_at < self._hold:
                break
            outstanding.popleft()

    async def _await_calls(self) -> bool:
        """Wait until a call ends or there is more to send; False if any call failed."""
        self._wake.clear()
        woken = asyncio.ensure_future(self._wake.wait())
        try:
            ended, _ = await asyncio.wait(
                {woken, *self._in_flight}, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            woken.cancel()
        ended.discard(woken)
        failed = [task for task in self._in_flight if task in ended and not self._succeeded(task)]
        if not failed:
            for task in list(self._in_flight):
                if task in ended:
                    del self._in_flight[task]
            return True
        await asyncio.wait(set(self._in_flight))
        suspects: set[_Item] = set()
        for task, items in self._in_flight.items():
            if not self._succeeded(task) and isinstance(task.exception(), ShardDied):
                suspects.update(items)
        self._in_flight.clear()
        self._begin_again(suspects)
        return False

    def _succeeded(self, task: "asyncio.Task[None]") -> bool:
        """Mark the parts of an ended call as done, unless it failed."""
        error = task.exception()
        if error is None:
            for item in self._in_flight[task]:
                self._complete(item)
            self._failing_since = None
            self._breaker.passed()
            self._pause = RETRY_SECONDS
            return True
        if self._failing_since is None:
            self._failing_since = self._clock.monotonic()
        if isinstance(error, BreakerOpen):
            self._breaker.open(str(error))
        elif not isinstance(error, RetryableError):
            raise error
        return False

    def _begin_again(self, suspects: set[_Item]) -> None:
        """Queue what has been sent of each stream, from the first that is not done on. What is
        done behind it goes again too: a shard that starts anew takes no sequence with a gap."""
        self._metrics.suspected.inc(len(suspects))
        waiting = set(self._queue)
        again: list[_Item] = []
        for stream, outstanding in self._outstanding.items():
            if self._cut(stream, suspects):
                again += self._outstanding[stream]
                waiting -= set(outstanding)
            else:
                again += [item for item in outstanding if item not in waiting]
        self._queue = deque([*again, *(item for item in self._queue if item in waiting)])

    def _cut(self, stream: str, suspects: set[_Item]) -> bool:
        """Count a try of each suspect, and cut those that were tried so often. Where any was
        cut, all that is not done of the stream, and what is kept though it is done (E7), gets
        numbers that were never used; whether."""
        parts: list[_Item] = []
        was_cut = False
        for item in self._outstanding[stream]:
            buffers = [item.buffer]
            if item in suspects:
                item.tries += 1
                buffers = tries.pieces(item.buffer, item.tries)
            was_cut = was_cut or len(buffers) > 1
            if self._hold or not item.done.done():
                parts += [item] if len(buffers) == 1 else _cut(item, buffers)
        if was_cut:
            for part in parts:
                part.sequence = next(self._numbers[stream, part.epoch])
            self._outstanding[stream] = deque(parts)
        return was_cut


def _cut(item: _Item, buffers: list[bytes]) -> list[_Item]:
    """The item in parts; it is done when all of them are."""
    loop = asyncio.get_running_loop()
    left = len(buffers)

    def finished(_: "asyncio.Future[None]") -> None:
        nonlocal left
        left -= 1
        if not left and not item.done.done():
            item.done.set_result(None)

    made = [
        _Item(item.stream, item.epoch, item.sequence, buffer, loop.create_future(), item.tries)
        for buffer in buffers
    ]
    for part in made:
        part.done.add_done_callback(finished)
    return made
