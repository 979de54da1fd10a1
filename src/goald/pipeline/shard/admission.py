"""Admission: accepts the batches of each stream in order, without repeats, and queues them to
be processed in groups."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

from goald.domain.errors import LeaseLost
from goald.domain.fail_points import FailPoint
from goald.pipeline.context import ShardContext
from goald.pipeline.executions.watermark import Watermark
from goald.pipeline.poison.breaker import CircuitBreaker
from goald.pipeline.poison.isolation import Isolation
from goald.pipeline.shard.group import Group
from goald.pipeline.shard.sequence import Sequencer
from goald.pipeline.shard.turns import Turns
from goald.pipeline.shard_batch import Forwarded, Processed, ShardBatch


class Admission:
    """Orders the batches that consumers send, and queues them for processing in groups."""

    def __init__(
        self,
        context: ShardContext,
        breaker: CircuitBreaker,
        turns: Turns,
        watermark: Watermark | None = None,
    ) -> None:
        """`watermark`: None in a shard that runs no workflows."""
        self.breaker = breaker
        self.turns = turns
        self._fail_point = context.fail_point
        self._sequencer = Sequencer()
        self._isolation = Isolation()
        self._watermark = watermark
        self._grouped: dict[asyncio.Future[Sequence[Forwarded]], asyncio.Future[None]] = {}
        """For each batch in flight: by the end of all its events, that of those not deferred."""
        self._deferred_work: set[asyncio.Task[None]] = set()

    async def process(
        self, batches: Sequence[ShardBatch], adopted: Callable[[bytes], Awaitable[None]]
    ) -> Processed:
        """See `Shard.process`. Admitted batches are processed even if the caller disconnects.
        `adopted`: returns when the contacts of a buffer of forwarded events have the enrollments
        that were merged into them."""
        self.breaker.check()
        if not batches:
            return Processed()
        async with AsyncExitStack() as stack:
            exclusive = any(batch.exclusive for batch in batches)
            await stack.enter_async_context(self._isolation.work(exclusive=exclusive))
            processed: list[asyncio.Future[Sequence[Forwarded]]] = []
            awaited: list[asyncio.Future[Any]] = []
            for batch in batches:
                await self._sequencer.turn(batch)
                future, is_next = self._sequencer.admit(batch)
                if is_next:
                    self._grouped[future] = self._put(batch, future, adopted)
                    future.add_done_callback(self._grouped.pop)
                grouped = self._grouped.get(future, future)
                if self._watermark is not None:
                    self._watermark.admit(batch, future)
                processed.append(future)
                awaited.append(grouped if batch.may_be_deferred else future)
            self.breaker.check()
            self._fail_point(FailPoint.ADMITTED)
            await asyncio.wait(awaited)
            if any(future.cancelled() for future in processed):
                raise LeaseLost("a later holder of the stream has sent its events again")
            deferred = [index for index, future in enumerate(processed) if not future.done()]
            if deferred:  # the work lasts until they are processed
                self._hold_until_processed(processed, stack.pop_all())
        # `reject` ends the futures of batches that were not processed.
        self.breaker.check()
        forwarded = [
            (index, events)
            for index, future in enumerate(processed)
            if future.done() and (events := future.result())
        ]
        return Processed(deferred, forwarded)

    def _put(
        self,
        batch: ShardBatch,
        processed: "asyncio.Future[Sequence[Forwarded]]",
        adopted: Callable[[bytes], Awaitable[None]],
    ) -> "asyncio.Future[None]":
        """See `Turns.put`. Batches behind forwarded events do not wait for them: the order of
        events that name different contacts is not kept (E21)."""
        if batch.origin is None:
            return self.turns.put(batch, processed)

        async def put_when_adopted() -> None:
            await adopted(batch.buffer)
            if self.breaker.not_ready_reason is None:
                await self.turns.put(batch, processed)
            elif not processed.done():  # `reject` has ended the other calls
                processed.set_result(())

        return asyncio.ensure_future(put_when_adopted())

    def _hold_until_processed(
        self, processed: Sequence["asyncio.Future[Sequence[Forwarded]]"], work: AsyncExitStack
    ) -> None:
        async def finish() -> None:
            async with work:
                await asyncio.wait(processed)

        task = asyncio.ensure_future(finish())
        self._deferred_work.add(task)
        task.add_done_callback(self._deferred_work.discard)

    async def next(self) -> Group:
        """Return the next group: waiting batches, or deferred events; wait for the first."""
        return await self.turns.next()

    def reject(self, group: Group) -> None:
        """End the calls that wait for this group or for later ones. The circuit breaker is open,
        so each of them raises BreakerOpen."""
        group.abandon()
        self.turns.abandon()
