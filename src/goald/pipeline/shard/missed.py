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
from goald.pipeline.shard.commit import slices
from goald.pipeline.shard.committer import GroupCommitter, is_stale
from goald.pipeline.shard.evaluate import Evaluator
from goald.pipeline.shard.group import Group
from goald.pipeline.shard_batch import ShardBatch
from goald.ports.shard_store import MissedEntry, ShardStore

PAGE = 1_000
"""Enrollments whose missed events are judged together."""
_NO_LIMIT = 1 << 40
"""Units of work: a page is bounded by its enrollments."""
_STREAM = "missed"


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
    ) -> None:
        self._context = context
        self._store = store
        self._lease = lease
        self._evaluator = evaluator
        self._committer = committer
        self._publisher = publisher

    async def replay(self, after: int) -> None:
        """Judge the missed events of the active workflows that changed after this configuration
        version and exit what they missed; remove those of the others. Each page is removed with its
        effects, so a crash repeats nothing. Retried while a server is unavailable. Raises
        LeaseLost."""
        limit, waits = PAGE, pauses()
        while entries := await self._read(after, limit):
            try:
                await self._replay_page(entries)
                limit, waits = PAGE, pauses()
            except ContentRefused:  # Postgres refuses the content of one of them
                if limit == 1:
                    await self._drop(entries)
                limit = 1
            except RetryableError:
                await self._committer.reload("commit", _group(entries), next(waits))

    async def _read(self, after: int, limit: int) -> Sequence[MissedEntry]:
        version = self._evaluator.config_version
        read = partial(self._store.missed, self._lease, after, version, limit)
        return await self._context.retry("Postgres: load", "missed", read)

    async def _replay_page(self, entries: Sequence[MissedEntry]) -> None:
        group, committer = _group(entries), self._committer
        now_us = self._context.clock.now_us()
        proposal = await stored_facts.evaluate(self._evaluator, group, now_us, committer)
        self._context.fail_point(FailPoint.EVALUATED)
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
                return

    async def _drop(self, entries: Sequence[MissedEntry]) -> None:
        """Remove events without their effects."""
        nothing = self._evaluator.evaluate(Group((), ()), self._context.clock.now_us())
        drop = partial(self._committer.commit, nothing, _runs(entries))
        await self._context.retry("Postgres: commit", "missed", drop)


def _group(entries: Sequence[MissedEntry]) -> Group:
    payloads = dict.fromkeys((entry.entry_id, entry.payload) for entry in entries)
    stream = [[id_.encode(), [b"event", payload]] for id_, payload in payloads]
    routed = _native.Router(bytes(_native.SLOTS)).route(stream)
    batches = [ShardBatch(_STREAM, 0, 0, 0, buffer) for _, buffer, _ in routed.buffers]
    only = [(entry.tenant_id, entry.enrollment_id, entry.event) for entry in entries]
    old_tags = {(entry.tenant_id, entry.event): entry.old_tags for entry in entries}
    return Group(batches, (), share=_NO_LIMIT, event_share=_NO_LIMIT, only=only, old_tags=old_tags)


def _runs(entries: Sequence[MissedEntry]) -> list[tuple[str, str]]:
    return [(entry.tenant_id, entry.enrollment_id) for entry in entries]
