"""Admission: parts come to a shard in order, once, and wait for their turn."""

import asyncio
from collections.abc import Sequence

from goald.domain.fail_points import FailPoint, FailPointHook
from goald.pipeline.poison.breaker import CircuitBreaker
from goald.pipeline.poison.delivery_attempts import Isolation
from goald.pipeline.shard.group import Group, Inbox
from goald.pipeline.shard.sequence import Sequencer
from goald.pipeline.shard_batch import ShardBatch


class Admission:
    """Between who hands parts over and who processes them in groups."""

    def __init__(
        self, breaker: CircuitBreaker, fail_point: FailPointHook, *, group_bytes: int
    ) -> None:
        """`group_bytes`: how much goes into a group."""
        self._breaker = breaker
        self._fail_point = fail_point
        self._sequencer = Sequencer()
        self._inbox = Inbox(group_bytes)
        self._solitude = Isolation()

    async def process(self, parts: Sequence[ShardBatch]) -> None:
        """See `Shard.process`. Parts taken stay taken if the caller goes away."""
        self._breaker.check()
        if not parts:
            return
        async with self._solitude.work(alone=any(part.alone for part in parts)):
            futures = []
            for part in parts:
                await self._sequencer.turn(part)
                future, is_next = self._sequencer.admit(part)
                if is_next:
                    self._inbox.put(part, future)
                futures.append(future)
            self._breaker.check()
            self._fail_point(FailPoint.ADMITTED)
            await asyncio.wait(futures)
        # What was given up is no longer known to the sequencer, and not done either.
        self._breaker.check()

    async def next(self) -> Group:
        """All that waits, up to the bound; waits for the first."""
        return await self._inbox.next()

    def give_up(self, group: Group) -> None:
        """Send away whoever waits for this group, or for what comes after it."""
        group.done()
        self._inbox.rest().done()
