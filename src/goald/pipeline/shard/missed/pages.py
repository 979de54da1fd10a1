"""Judges or removes pages of the events that workflows missed while they were paused (E19)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from goald import _native
from goald.domain.errors import ContentRefused, RetryableError
from goald.domain.fail_points import FailPoint
from goald.domain.leases import SlotLease
from goald.pipeline.context import ShardContext
from goald.pipeline.outbox.publish import OutboxPublisher
from goald.pipeline.retry import pauses
from goald.pipeline.shard import stored_facts
from goald.pipeline.shard.commit import NOTHING, slices
from goald.pipeline.shard.committer import GroupCommitter, is_stale
from goald.pipeline.shard.evaluate import Evaluator
from goald.pipeline.shard.group import Group
from goald.pipeline.shard_batch import ShardBatch
from goald.ports.configuration import WorkflowKey
from goald.ports.outbox import StoredMessage
from goald.ports.shard_store import (
    FIRST_MISSED,
    MissedEntry,
    MissedPage,
    MissedPosition,
    ShardStore,
)

PAGE = 50
"""Enrollments whose missed events are judged together. A page is committed between any two groups,
so it has a quarter of the exits that one tenant has in a group."""
PAGE_BYTES = 1 << 20
"""Bytes of their events, each counted once."""
FORGOTTEN = 500
"""Enrollments whose missed events are removed together."""
_NO_LIMIT = 1 << 40
"""Units of work: a page is bounded by its enrollments."""


@dataclass(slots=True)
class MissedReplay:
    """The progress through the events that one workflow missed."""

    workflow: WorkflowKey
    after: MissedPosition | None = FIRST_MISSED
    """The end of the last page. None: no page is left."""
    limit: int = field(default_factory=lambda: PAGE)
    """Enrollments of the next page. Fewer, to find an event that Postgres refuses."""
    pauses: Iterator[float] = field(default_factory=pauses)
    """Seconds to wait before the page is judged again."""

    def next(self, after: MissedPosition | None) -> None:
        """The page until this position is judged."""
        self.after, self.limit, self.pauses = after, min(2 * self.limit, PAGE), pauses()


class MissedPages:
    """The missed events of a shard's enrollments. All calls are retried while a server is
    unavailable, and raise LeaseLost."""

    def __init__(
        self,
        context: ShardContext,
        store: ShardStore,
        lease: SlotLease,
        evaluator: Evaluator,
        committer: GroupCommitter,
        publisher: OutboxPublisher,
        stream: str,
    ) -> None:
        """`stream`: the event stream to which a dead letter is sent when it is replayed."""
        self._context = context
        self._store = store
        self._lease = lease
        self._evaluator = evaluator
        self._committer = committer
        self._publisher = publisher
        self._stream = stream

    async def find(self, workflows: Sequence[WorkflowKey]) -> Sequence[WorkflowKey]:
        """Return those of the workflows that missed events."""
        if not workflows:
            return ()
        find = partial(self._store.missed_workflows, self._lease, workflows)
        return await self._context.retry("Postgres: load", "missed", find)

    async def read(self, replay: MissedReplay) -> MissedPage:
        """Return the next page of a workflow that exits what it missed."""
        after = replay.after or FIRST_MISSED
        read = partial(
            self._store.missed, self._lease, replay.workflow, after, replay.limit, PAGE_BYTES
        )
        return await self._context.retry("Postgres: load", "missed", read)

    async def judge(self, replay: MissedReplay, page: MissedPage) -> Sequence[StoredMessage]:
        """Commit and apply the effects of a page, and remove its events in the same transaction, so
        a crash repeats nothing. Returns the messages to publish. After a failure, the page is the
        next one again. The caller holds `Evaluator.groups`. Raises ContentRefused if Postgres
        refuses the effects, and the page has a single enrollment."""
        messages: list[StoredMessage] = []
        try:
            if not page.entries or await self._commit(page.entries, messages):
                replay.next(page.end)
        except ContentRefused:
            if len(page.entries) == 1:
                raise
            replay.limit = len(page.entries) // 2
        except RetryableError:
            pause = next(replay.pauses)
            await self._committer.reload("commit", self._group(page.entries), pause)
        return messages

    async def dead_letter(self, replay: MissedReplay, page: MissedPage, reason: str) -> None:
        """Publish the events of a page as dead letters, then remove them without their effects
        (D4)."""
        group = self._group(page.entries)
        await self._publisher.publish((), group.dead_letters(reason))
        nothing = self._evaluator.evaluate(Group((), ()), self._context.clock.now_us())
        drop = partial(self._committer.commit, nothing, _runs(page.entries))
        await self._context.retry("Postgres: commit", "missed", drop)
        replay.next(page.end)

    async def forget(self, replay: MissedReplay) -> None:
        """Remove the next page."""
        after = replay.after or FIRST_MISSED
        forget = partial(self._store.forget_missed, self._lease, replay.workflow, after, FORGOTTEN)
        replay.next(await self._context.retry("Postgres: commit", "missed", forget))

    async def publish(self, messages: Sequence[StoredMessage]) -> None:
        """Return when Redis has accepted every message."""
        if messages:
            await self._publisher.publish(messages)

    async def _commit(self, entries: Sequence[MissedEntry], messages: list[StoredMessage]) -> bool:
        """Add to the messages to publish. Returns False if memory was stale, so that the rest must
        be judged again."""
        group, committer = self._group(entries), self._committer
        now_us = self._context.clock.now_us()
        facts = await committer.execution_facts()
        proposal = await stored_facts.evaluate(self._evaluator, group, now_us, committer, facts)
        self._context.fail_point(FailPoint.EVALUATED)
        if undecodable := group.rejected(proposal, NOTHING):
            await self._publisher.publish((), undecodable)
        *first, last = slices(proposal)
        for slice_ in (*first, last):
            async with self._evaluator.lock:
                judged = _runs(entries) if slice_ is last else ()
                committed = await committer.commit(slice_, judged)
                committer.apply(slice_, committed)
            messages += committed.outbox
            self._context.metrics.count_achievements(slice_, committed.effective)
            if is_stale(slice_, committed):
                await committer.reload("stale_cache", group, 0)
                return False
        return True

    def _group(self, entries: Sequence[MissedEntry]) -> Group:
        events = dict.fromkeys((entry.entry_id.encode(), entry.payload) for entry in entries)
        batch = ShardBatch(self._stream, 0, 0, 0, _native.buffer_of(list(events)))
        only = [(entry.tenant_id, entry.enrollment_id, entry.event) for entry in entries]
        old_tags = {(entry.tenant_id, entry.event): entry.old_tags for entry in entries}
        return Group(
            [batch], (), share=_NO_LIMIT, event_share=_NO_LIMIT, only=only, old_tags=old_tags
        )


def _runs(entries: Sequence[MissedEntry]) -> list[tuple[str, str]]:
    return [(entry.tenant_id, entry.enrollment_id) for entry in entries]
