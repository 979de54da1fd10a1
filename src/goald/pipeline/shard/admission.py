"""Admission: accepts the batches of each stream in order, without repeats, and queues them to
be processed in groups."""

import asyncio
from collections.abc import Sequence

from goald.domain.fail_points import FailPoint
from goald.pipeline.context import ShardContext
from goald.pipeline.poison.breaker import CircuitBreaker
from goald.pipeline.poison.isolation import Isolation
from goald.pipeline.shard.group import Group
from goald.pipeline.shard.sequence import Sequencer
from goald.pipeline.shard.turns import Turns
from goald.pipeline.shard_batch import ShardBatch


class Admission:
    """Orders the batches that consumers send, and queues them for processing in groups."""

    def __init__(self, context: ShardContext, breaker: CircuitBreaker, turns: Turns) -> None:
        self.breaker = breaker
        self.turns = turns
        self._fail_point = context.fail_point
        self._sequencer = Sequencer()
        self._isolation = Isolation()

    async def process(self, batches: Sequence[ShardBatch]) -> None:
        """See `Shard.process`. Admitted batches are processed even if the caller disconnects."""
        self.breaker.check()
        if not batches:
            return
        async with self._isolation.work(exclusive=any(batch.exclusive for batch in batches)):
            futures = []
            for batch in batches:
                await self._sequencer.turn(batch)
                future, is_next = self._sequencer.admit(batch)
                if is_next:
                    self.turns.put(batch, future)
                futures.append(future)
            self.breaker.check()
            self._fail_point(FailPoint.ADMITTED)
            await asyncio.wait(futures)
        # `reject` ends the futures of batches that were not processed.
        self.breaker.check()

    async def next(self) -> Group:
        """Return the next group: waiting batches, or deferred events; wait for the first."""
        return await self.turns.next()

    def reject(self, group: Group) -> None:
        """End the calls that wait for this group or for later ones. The circuit breaker is open,
        so each of them raises BreakerOpen."""
        group.abandon()
        self.turns.abandon()
