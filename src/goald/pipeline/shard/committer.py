"""Settle: evaluate a group, commit it, and take into memory what was committed (design 2, steps
3 and 4); in slices where it is large, in halves where Postgres refuses its content, and again
where a commit failed."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

from goald import _native
from goald.domain.errors import BreakerOpen, ContentRefused, RetryableError
from goald.domain.fail_points import FailPoint, FailPointHook
from goald.domain.leases import SlotLease
from goald.metrics import ShardMetrics
from goald.pipeline.outbox.publish import OutboxPublisher
from goald.pipeline.poison.breaker import CircuitBreaker
from goald.pipeline.retry import pauses, retrying
from goald.pipeline.shard.commit import commit, slices
from goald.pipeline.shard.early_events import Contact, EarlyEvents, begun
from goald.pipeline.shard.evaluate import Evaluator
from goald.pipeline.shard.group import Group
from goald.pipeline.stall_detector import StallDetector
from goald.ports.change import Committed
from goald.ports.clock import Clock
from goald.ports.outbound import DeadLetter
from goald.ports.shard_store import ShardStore


@dataclass(frozen=True, slots=True)
class CommittedSlice:
    """A slice that is committed and in memory, and what is still to be published of it."""

    proposal: _native.Proposal
    committed: Committed
    letters: list[DeadLetter]
    group: Group | None
    """The group that is done once this is published; None where more of it is to come."""


class GroupCommitter:
    """One group at a time, of a range of slots."""

    def __init__(
        self,
        *,
        evaluator: Evaluator,
        store: ShardStore,
        publisher: OutboxPublisher,
        lease: SlotLease,
        clock: Clock,
        metrics: ShardMetrics,
        breaker: CircuitBreaker,
        stall_detector: StallDetector,
        early: EarlyEvents | None,
        fail_point: FailPointHook,
    ) -> None:
        """`early`: where events wait for their enrollments; None where none does (E7)."""
        self.memory = asyncio.Lock()
        """Held while a commit is under way that memory has not taken."""
        self._evaluator = evaluator
        self._store = store
        self._publisher = publisher
        self._lease = lease
        self._clock = clock
        self._metrics = metrics
        self._breaker = breaker
        self._stall_detector = stall_detector
        self._early = early
        self._fail_point = fail_point

    async def settle(self, group: Group) -> AsyncGenerator[CommittedSlice]:
        """Evaluate a group, commit it in slices, and take each into memory.

        After a commit that failed, its contacts are loaded again before it goes on. What
        Postgres refuses for its content changes nothing, and is found by halves: of the group,
        down to one event, then of what this event would change. So what is refused goes to
        goald:dead alone (D4).
        """
        left = [group]
        tries = pauses()
        newly: set[Contact] = set()
        if self._early is not None:
            self._early.hold(group, self._clock.now_us())
        while left:
            part = left.pop()
            refused: ContentRefused | None = None
            todo = self._evaluate(part)[::-1]
            while todo:
                proposal = todo.pop()
                if self._early is not None:
                    newly |= begun(proposal)
                try:
                    committed = await self._commit(proposal)
                except ContentRefused as error:
                    if halves := part.halves():
                        left += halves[::-1]
                        break
                    if narrower := proposal.halves():
                        todo += narrower[::-1]
                        continue
                    refused = error
                    committed = Committed(bytes(len(proposal.effects)))
                    self._evaluator.apply(proposal, committed)
                except RetryableError:
                    self._metrics.retries.labels("commit").inc()
                    await self._begin_again(part, next(tries))
                    left.append(part)
                    break
                if committed.is_stale or _hides_an_active(proposal, committed):
                    # What was committed stands; the rest is judged again by what is true.
                    self._metrics.retries.labels("out of step").inc()
                    await self._publisher.publish(committed.outbox)
                    await self._begin_again(part, next(tries))
                    left.append(part)
                    break
                letters = part.dead_letters(proposal, committed.conflicts)
                if not todo:
                    try:
                        letters += self._judged(part, proposal, refused)
                    except BreakerOpen:
                        # What was committed beside it is published all the same.
                        yield CommittedSlice(proposal, committed, [], None)
                        raise
                    if not left:
                        left += self._again(newly)
                done = None if left or todo else group
                yield CommittedSlice(proposal, committed, letters, done)

    def _evaluate(self, group: Group) -> list[_native.Proposal]:
        with self._metrics.stage_seconds.labels("evaluate").time():
            proposal = self._evaluator.evaluate(group.buffers, self._clock.now_us())
        self._fail_point(FailPoint.EVALUATED)
        return slices(proposal)

    async def _commit(self, proposal: _native.Proposal) -> Committed:
        """Commit a slice, and take it into memory. Raises as `commit` does."""
        async with self.memory:
            with (
                self._metrics.stage_seconds.labels("commit").time(),
                self._stall_detector.step("Postgres: commit"),
            ):
                now = self._clock.now_us()
                committed = await commit(self._store, self._lease, proposal, now)
            self._fail_point(
                FailPoint.LEASE_CHECKED if proposal.changes_nothing else FailPoint.COMMITTED
            )
            self._publisher.expect(committed.outbox)
            self._evaluator.apply(proposal, committed)
            self._fail_point(FailPoint.APPLIED)
            return committed

    def _judged(
        self, group: Group, proposal: _native.Proposal, refused: ContentRefused | None
    ) -> list[DeadLetter]:
        """The letters of a group that was refused, which is one event. Raises BreakerOpen."""
        if refused is not None:
            for tenant in self._evaluator.tenants_of(group.buffers):
                self._breaker.failed(tenant)
            return group.letters(str(refused))
        if proposal.events > len(proposal.rejects):
            self._breaker.passed()
        return []

    def _again(self, newly: set[Contact]) -> list[Group]:
        """The events that came before these contacts' enrollments, once. Not before a whole group
        is settled: what is kept of a contact is also of the group's end (E5)."""
        again = None if self._early is None else self._early.of(newly)
        newly.clear()
        return [] if again is None else [again]

    async def _begin_again(self, group: Group, pause: float) -> None:
        """Load the contacts of a group again. What its commit wrote all the same is published
        before anything else: nobody else knows that it was this group's (D2)."""
        await self._clock.sleep(pause)
        buffers = group.buffers
        await self._retrying(
            "Postgres: load", "reload", lambda: self._evaluator.reload(self._lease, buffers)
        )
        self._fail_point(FailPoint.RELOADED)
        await self._retrying("Postgres: outbox", "relay", self._publisher.relay)

    async def _retrying(self, step: str, metric: str, call: Callable[[], Awaitable[None]]) -> None:
        with self._stall_detector.step(step):
            await retrying(call, self._clock, self._metrics.retries.labels(metric).inc)


def _hides_an_active(proposal: _native.Proposal, committed: Committed) -> bool:
    """Whether an event of an active enrollment that memory lacks was held against another's claim
    to its id, and so not judged."""
    return any(
        one.is_active and proposal.has_rightful(one.effect, one.contact, one.workflow)
        for one in committed.conflicts
    )
