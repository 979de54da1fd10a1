"""Missed events: judges what workflows missed while they were paused, when they are active again
(E19)."""

from collections.abc import Sequence
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
from goald.ports.shard_store import FIRST_MISSED, MissedEntry, MissedPosition, ShardStore

PAGE = 200
"""Enrollments whose missed events are judged together: as many exits as one tenant has in a group
of events."""
PAGE_BYTES = 1 << 20
"""Bytes of their events, each counted once."""
FORGOTTEN = 1_000
"""Enrollments whose missed events are removed together."""
_NO_LIMIT = 1 << 40
"""Units of work: a page is bounded by its enrollments."""


class MissedEvents:
    """The events that the enrollments of a shard missed. The caller must hold `Evaluator.groups`
    while `replay` runs, so that nothing that arrives later is judged before."""

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

    async def replay(self, workflows: Sequence[WorkflowKey]) -> None:
        """Judge what these active workflows missed, if they exit it, and remove it otherwise. Each
        page is removed with its effects, so a crash repeats nothing. Retried while a server is
        unavailable. Raises LeaseLost."""
        if not workflows:
            return
        find = partial(self._store.missed_workflows, self._lease, workflows)
        for workflow in await self._context.retry("Postgres: load", "missed", find):
            if self._evaluator.exits_missed(workflow):
                await self._exit(workflow)
            else:
                await self._forget(workflow)

    async def _exit(self, workflow: WorkflowKey) -> None:
        after: MissedPosition | None = FIRST_MISSED
        limit, waits = PAGE, pauses()
        while after is not None:
            read = partial(self._store.missed, self._lease, workflow, after, limit, PAGE_BYTES)
            page = await self._context.retry("Postgres: load", "missed", read)
            try:
                if page.entries and not await self._judge(page.entries):
                    continue  # memory was stale
            except ContentRefused as refused:
                if limit > 1:  # find the event whose content Postgres refuses
                    limit //= 2
                    continue
                await self._dead_letter(page.entries, str(refused))
            except RetryableError:
                await self._committer.reload("commit", self._group(page.entries), next(waits))
                continue
            after, limit, waits = page.end, min(2 * limit, PAGE), pauses()

    async def _judge(self, entries: Sequence[MissedEntry]) -> bool:
        """Return whether all of a page is judged."""
        group, committer = self._group(entries), self._committer
        now_us = self._context.clock.now_us()
        proposal = await stored_facts.evaluate(self._evaluator, group, now_us, committer)
        self._context.fail_point(FailPoint.EVALUATED)
        await self._publisher.publish((), group.rejected(proposal, NOTHING))
        *first, last = slices(proposal)
        for slice_ in (*first, last):
            async with self._evaluator.lock:
                judged = _runs(entries) if slice_ is last else ()
                committed = await committer.commit(slice_, judged)
                committer.apply(slice_, committed)
            await self._publisher.publish(committed.outbox)
            self._context.metrics.count_achievements(slice_, committed.effective)
            if is_stale(slice_, committed):
                await committer.reload("stale_cache", group, 0)
                return False
        return True

    async def _dead_letter(self, entries: Sequence[MissedEntry], reason: str) -> None:
        """Publish these events as dead letters, and remove them without their effects (D4)."""
        group = self._group(entries)
        await self._publisher.publish((), group.dead_letters(reason))
        nothing = self._evaluator.evaluate(Group((), ()), self._context.clock.now_us())
        drop = partial(self._committer.commit, nothing, _runs(entries))
        await self._context.retry("Postgres: commit", "missed", drop)

    async def _forget(self, workflow: WorkflowKey) -> None:
        after: MissedPosition | None = FIRST_MISSED
        while after is not None:
            forget = partial(self._store.forget_missed, self._lease, workflow, after, FORGOTTEN)
            after = await self._context.retry("Postgres: commit", "missed", forget)

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
