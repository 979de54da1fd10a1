"""Hand over: carry parts to one shard in order, again when it was down, never too many."""

import asyncio
from collections import deque
from dataclasses import dataclass
from itertools import count

from goald.domain.errors import RetryableError
from goald.metrics import ConsumerMetrics
from goald.pipeline.parts import Part, Shard
from goald.ports import Clock
from goald.settings import HandoverSettings

RETRY_SECONDS = 0.1
LONGEST_RETRY_SECONDS = 2.0
SMALL_BYTES = 90_000
"""Up to about so much, a call's arguments travel within it, and not through Ray's store."""


@dataclass(eq=False, slots=True)
class _Item:
    stream: str
    epoch: int
    sequence: int
    buffer: bytes
    done: "asyncio.Future[None]"


class Lane:
    """The way from one consumer to one shard.

    Parts that arrive while a call is under way share the next one. After a call that failed,
    the lane waits for the others under way, and begins again at the first part that is not
    known to be done.
    """

    def __init__(
        self, shard: Shard, settings: HandoverSettings, clock: Clock, metrics: ConsumerMetrics
    ) -> None:
        self._shard = shard
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._numbers: dict[tuple[str, int], count[int]] = {}
        self._outstanding: dict[str, deque[_Item]] = {}
        self._queue: deque[_Item] = deque()
        self._under_way: dict[asyncio.Task[None], list[_Item]] = {}
        self._wake = asyncio.Event()

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
        pause = RETRY_SECONDS
        try:
            while True:
                self._start_calls()
                if not self._under_way:
                    self._wake.clear()
                    await self._wake.wait()
                    continue
                if await self._await_calls():
                    pause = RETRY_SECONDS
                    continue
                self._metrics.resent.inc()
                await self._clock.sleep(pause)
                pause = min(2 * pause, LONGEST_RETRY_SECONDS)
        finally:
            for task in self._under_way:
                task.cancel()

    def _start_calls(self) -> None:
        while self._queue and self._may_call():
            items = self._take(self._settings.call_bytes)
            parts = [
                Part(item.stream, item.epoch, item.sequence, self._floor(item), item.buffer)
                for item in items
            ]
            self._under_way[asyncio.ensure_future(self._shard.process(parts))] = items

    def _may_call(self) -> bool:
        """A shard settles one group at a time, and a call costs much the same whatever it
        carries: beside one under way another goes only if it is full, or both are small."""
        if not self._under_way:
            return True
        if len(self._under_way) >= self._settings.calls:
            return False
        waiting = sum(len(item.buffer) for item in self._queue)
        under_way = sum(len(item.buffer) for items in self._under_way.values() for item in items)
        return waiting >= self._settings.call_bytes or waiting + under_way <= SMALL_BYTES

    def _take(self, most: int) -> list[_Item]:
        """From the head of the queue, up to so many bytes, one item at least."""
        taken = [self._queue.popleft()]
        size = len(taken[0].buffer)
        while self._queue and size + len(self._queue[0].buffer) <= most:
            size += len(self._queue[0].buffer)
            taken.append(self._queue.popleft())
        return taken

    def _floor(self, item: _Item) -> int:
        outstanding = self._not_done(item.stream)
        return min(item.sequence, outstanding[0].sequence) if outstanding else item.sequence

    def _not_done(self, stream: str) -> deque[_Item]:
        """What was put, from the first that is not done on."""
        outstanding = self._outstanding[stream]
        while outstanding and outstanding[0].done.done():
            outstanding.popleft()
        return outstanding

    async def _await_calls(self) -> bool:
        """Wait until a call ends or there is more to send; False if any call failed."""
        self._wake.clear()
        woken = asyncio.ensure_future(self._wake.wait())
        try:
            ended, _ = await asyncio.wait(
                {woken, *self._under_way}, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            woken.cancel()
        ended.discard(woken)
        if all(self._finish(task) for task in list(self._under_way) if task in ended):
            return True
        await asyncio.wait(set(self._under_way))
        for task in self._under_way:
            self._finish(task, keep=True)
        self._under_way.clear()
        self._queue.extendleft(reversed(self._sent_from_the_floor()))
        return False

    def _sent_from_the_floor(self) -> list[_Item]:
        """What has been sent of each stream, from the first that is not done on. What is done
        behind it goes again too: a shard that starts anew takes no sequence with a gap."""
        waiting = set(self._queue)
        sent = []
        for stream in self._outstanding:
            sent += [item for item in self._not_done(stream) if item not in waiting]
        return sent

    def _finish(self, task: "asyncio.Task[None]", *, keep: bool = False) -> bool:
        """Mark the parts of an ended call as done, unless it failed: then it stays listed."""
        error = task.exception()
        if error is None:
            for item in self._under_way[task]:
                if not item.done.done():
                    item.done.set_result(None)
            if not keep:
                del self._under_way[task]
            return True
        if not isinstance(error, RetryableError):
            raise error
        return False
