"""Group committer: commits slices, and reloads memory when it may differ from the table."""

from collections.abc import Mapping, Sequence
from functools import partial

import structlog

from goald import _native
from goald.domain.contacts.merging import ContactKey, StoredContact
from goald.domain.errors import ContentRefused
from goald.domain.fail_points import FailPoint
from goald.domain.ids import ContactId, TenantId
from goald.domain.leases import SlotLease
from goald.pipeline.context import ShardContext
from goald.pipeline.executions.prepared import PreparedExecutions
from goald.pipeline.executions.shard import ShardExecutions
from goald.pipeline.outbox.publish import OutboxPublisher
from goald.pipeline.shard.commit import commit
from goald.pipeline.shard.evaluate import Evaluator, merged_contacts
from goald.pipeline.shard.group import Group
from goald.pipeline.shard.known.executions import ExecutionFacts
from goald.ports.change import Committed
from goald.ports.shard_store import (
    EndedCheck,
    EnrollmentStart,
    EventCheck,
    Excluded,
    ShardStore,
    WatchedRuns,
)

_log = structlog.stdlib.get_logger(__name__)


class GroupCommitter:
    """Commits the groups of one slot range, one at a time."""

    def __init__(
        self,
        context: ShardContext,
        store: ShardStore,
        lease: SlotLease,
        evaluator: Evaluator,
        publisher: OutboxPublisher,
        executions: ShardExecutions | None = None,
    ) -> None:
        """`executions`: None in a shard that runs no workflows."""
        self._context = context
        self._store = store
        self._lease = lease
        self._evaluator = evaluator
        self._publisher = publisher
        self._full: set[str] = set()
        """Tenants of which missed events were not kept."""
        self._executions = executions
        self._prepared: PreparedExecutions | None = None
        """The executions of the slice that is committed and not applied."""

    async def execution_facts(self) -> ExecutionFacts | None:
        """Return what an evaluation is given about executions; None if it has none to evaluate.
        Raises LeaseLost."""
        options = None if self._executions is None else await self._executions.options()
        if options is None:
            return None
        return ExecutionFacts(self._context, self._store, self._lease, options)

    async def repeats(self, starts: Sequence[EnrollmentStart]) -> set[tuple[TenantId, str]]:
        """See `ShardStore.repeats`. Retried while Postgres is unavailable; raises LeaseLost."""
        find = partial(self._store.repeats, self._lease, starts)
        return await self._context.retry("Postgres: load", "repeats", find)

    async def excluded(self, checks: Sequence[EventCheck]) -> set[Excluded]:
        """See `ShardStore.excluded`. Retried while Postgres is unavailable; raises LeaseLost."""
        find = partial(self._store.excluded, self._lease, checks)
        return await self._context.retry("Postgres: load", "excluded", find)

    async def ended(self, checks: Sequence[EndedCheck]) -> WatchedRuns:
        """See `ShardStore.ended`. Retried while Postgres is unavailable; raises LeaseLost."""
        find = partial(self._store.ended, self._lease, checks)
        return await self._context.retry("Postgres: load", "ended", find)

    async def contacts(self, contacts: Sequence[ContactKey]) -> Mapping[ContactKey, StoredContact]:
        """See `ShardStore.contacts`. Retried while Postgres is unavailable; raises LeaseLost."""
        find = partial(self._store.contacts, self._lease, contacts)
        return await self._context.retry("Postgres: load", "contacts", find)

    async def commit(
        self, proposal: _native.Proposal, judged: Sequence[tuple[str, str]] = ()
    ) -> Committed:
        """Commit one slice in one transaction, after the gates of the executions that it ends are
        closed (X2). Takes `judged` and raises as `commit.commit`."""
        context = self._context
        self._prepared = None
        if self._executions is not None and (proposed := proposal.executions) is not None:
            self._prepared = await self._executions.prepare(proposed)
        if self._executions is not None and proposal.deletions:
            deleted = [(TenantId(of), ContactId(contact)) for of, contact, *_ in proposal.deletions]
            await self._executions.erase(deleted)
        with (
            context.metrics.stage_seconds.labels("commit").time(),
            context.stall_detector.attempt("Postgres: commit"),
        ):
            committed = await commit(
                self._store,
                self._lease,
                proposal,
                context.clock.now_us(),
                judged,
                self._prepared,
            )
        context.fail_point(
            FailPoint.LEASE_CHECKED if proposal.changes_nothing else FailPoint.COMMITTED
        )
        self._publisher.expect(committed.outbox)
        if committed.missed_dropped:
            self._report_dropped(committed.missed_dropped)
        return committed

    def _report_dropped(self, tenants: Sequence[str]) -> None:
        """Count the missed events that were not kept (E19). Each tenant is logged once."""
        self._context.metrics.missed_dropped.inc(len(tenants))
        for tenant in sorted({*tenants} - self._full):
            self._full.add(tenant)
            _log.warning(
                "the events that the paused workflows of a tenant missed take GOALD_MISSED_BYTES; "
                "no further ones are kept", tenant=tenant,
            )  # fmt: skip

    def apply(self, proposal: _native.Proposal, committed: Committed) -> None:
        """Change memory to what was committed of a slice."""
        if self._executions is not None and committed.merges:
            self._executions.move(merged_contacts(proposal, committed))
        self._evaluator.apply(proposal, committed)
        self._evaluator.mark_missed(proposal, committed.missed_dropped)
        prepared, self._prepared = self._prepared, None
        if self._executions is not None and prepared is not None:
            self._executions.apply(prepared, committed.transitions)
        self._context.fail_point(FailPoint.APPLIED)

    def skip(
        self, proposal: _native.Proposal, refused: ContentRefused, *, blames_event: bool
    ) -> Committed:
        """Leave out a slice that Postgres refuses: none of its effects is committed or applied.
        Unless an event is the cause, its executions fail next."""
        executions, self._prepared = proposal.executions, None
        if self._executions is not None and executions is not None:
            self._executions.refuse(executions, str(refused), blames_event=blames_event)
        transitions = 0 if executions is None else len(executions.transitions)
        committed = Committed(bytes(len(proposal.effects)), transitions=bytes(transitions))
        self._evaluator.apply(proposal, committed)
        return committed

    async def reload(self, operation: str, group: Group, pause: float) -> None:
        """Load the contacts of a group from Postgres again, after a pause in seconds.

        If the outcome of a commit is unknown, its messages are published before this returns,
        because no other process knows that they belong to this group (D2). `operation` is the
        metric's label. Retried while a server is unavailable; raises LeaseLost.
        """
        context = self._context
        context.metrics.retries.labels(operation).inc()
        await context.clock.sleep(pause)
        more = set() if self._executions is None else self._executions.uncommitted
        reload = partial(self._evaluator.reload, self._lease, group.buffers, sorted(more))
        await context.retry("Postgres: load", "reload", reload)
        if self._executions is not None:
            of_events = self._evaluator.contacts_of(group.buffers)
            await self._executions.reload([*of_events, *more])
            self._executions.uncommitted.clear()
        context.fail_point(FailPoint.RELOADED)
        publish_backlog = self._publisher.publish_backlog
        await context.retry("Postgres: outbox", "publish_backlog", publish_backlog)


def is_stale(proposal: _native.Proposal, committed: Committed) -> bool:
    """Whether memory differed from the table, so that the group must be evaluated again.

    Either an update found its row not active, or an active enrollment that memory lacks was
    hidden by another contact's claim to its id, so that its event was not evaluated.
    """
    return committed.is_stale or any(
        conflict.is_active
        and proposal.contender_is_owner(conflict.effect, conflict.contact, conflict.workflow)
        for conflict in committed.conflicts
    )
