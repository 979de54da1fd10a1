"""Transfers (E21): a shard takes over the enrollments of contacts that were merged into contacts of
its slots.

The other shard has committed the merge, and changes these enrollments no more. This shard moves
them in pages, and loads them after each. A consumer asks for that with the event that it forwards;
events of merged contacts arrive behind it. Should the event be lost with Redis, the shard finds the
merge in Postgres.

A transfer that Postgres refuses for the content of a row waits, and is tried again later. Its
enrollments stay where they are, in no shard.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import structlog

from goald import _native
from goald.domain.errors import ContentRefused
from goald.domain.fail_points import FailPoint
from goald.domain.ids import ContactId
from goald.domain.leases import SlotLease
from goald.pipeline.context import ShardContext
from goald.pipeline.executions.shard import ShardExecutions
from goald.pipeline.shard.adoption import AdoptionCalls, target
from goald.pipeline.shard.evaluate import Evaluator
from goald.pipeline.shard.group import Group
from goald.pipeline.shard.missed.events import MissedEvents
from goald.ports.change import Committed
from goald.ports.shard_store import PassedOn, ShardStore, Transfer

CHECK_SECONDS = 5.0
NEXT_PAGE_SECONDS = 0.05

_log = structlog.stdlib.get_logger(__name__)


async def adopt_all(context: ShardContext, store: ShardStore, lease: SlotLease) -> None:
    """Take over the enrollments of all merges that wait, before they are loaded."""
    while waiting := [each for each in await store.transfers(lease) if not each.is_adopted]:
        for transfer in waiting:
            while await _move_page(context, store, lease, transfer):
                pass


async def _move_page(
    context: ShardContext, store: ShardStore, lease: SlotLease, transfer: Transfer
) -> bool:
    """Move a page of a merged contact, or postpone its transfer if Postgres refuses a row. Returns
    whether to call it again."""
    move = store.move_ended if transfer.is_adopted else store.adopt
    try:
        return await move(lease, transfer, rename)
    except ContentRefused as refused:
        await store.refuse(lease, transfer, str(refused))
        context.metrics.transfers_refused.inc()
        _log.warning(
            "cannot move the enrollments of a merged contact; trying again later",
            tenant=transfer.tenant_id, transfer=transfer.id, reason=str(refused),
        )  # fmt: skip
        return False


def rename(event: bytes, contact: str) -> bytes:
    """See `RenameContact`."""
    try:
        return _native.with_contact(event, contact)
    except ValueError as error:
        raise ContentRefused(f"an event that was missed cannot be read: {error}") from error


class Transfers:
    """The transfers to one slot range."""

    def __init__(
        self,
        context: ShardContext,
        store: ShardStore,
        lease: SlotLease,
        evaluator: Evaluator,
        missed: MissedEvents,
        executions: ShardExecutions | None = None,
    ) -> None:
        """`executions`: None in a shard that runs no workflows."""
        self._context = context
        self._store = store
        self._lease = lease
        self._evaluator = evaluator
        self._missed = missed
        self._executions = executions
        self._calls = AdoptionCalls()

    async def adopted(self, buffer: bytes) -> None:
        """Return when the merges into the contacts of these events are adopted, or refused. Needs
        `run`."""
        await self._calls.adopted(self._evaluator.contacts_of([buffer]))

    async def of_conflicts(self, proposal: _native.Proposal, committed: Committed) -> bool:
        """Take over the enrollments that events of the contacts that continue have named, before a
        consumer asked for them. Returns whether there were any: then the events must be evaluated
        again. The caller holds `Evaluator.groups`."""
        if not committed.conflicts:
            return False
        effects = proposal.effects
        tenants, contacts = effects.tenant_id, effects.contact_id
        keys = {(tenants[each.effect], contacts[each.effect]) for each in committed.conflicts}
        waiting = [each for each in await self._waiting() if target(each) in keys]
        for transfer in waiting:
            while await self._take_over(transfer):
                pass
        return bool(waiting)

    async def forwards_changed(self) -> bool:
        """Load the forwards that changed, and return whether any did: then the events that would be
        forwarded must be evaluated again. The caller holds `Evaluator.groups`."""
        load = partial(self._evaluator.load_forwards, self._lease)
        return await self._context.retry("Postgres: load", "forwards", load)

    async def with_returned(self, group: Group) -> Group:
        """Return a group in which events go back to the merged contacts for which they were
        received, if they were passed on before a deletion of the contact that continued these.
        A deletion in the group defers the events behind it. The caller holds `Evaluator.groups`,
        so no other can be committed."""
        passed_on: dict[int, PassedOn] = {}
        for number, contact, _ in group.origins:
            ((tenant, into),) = self._evaluator.contacts_of([group.batches[number].buffer])
            passed_on[number] = PassedOn(tenant, ContactId(contact), into)
        if not passed_on:
            return group
        find = partial(self._store.ended_forwards, self._lease, set(passed_on.values()))
        ended = await self._context.retry("Postgres: load", "forwards", find)
        numbers = (number for number, each in passed_on.items() if each in ended)
        return replace(group, returned=frozenset(numbers))

    async def run(self) -> None:
        """Adopt merges when that is requested, and those that no event requests. Run until
        cancelled. Raises LeaseLost, in an ExceptionGroup."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._adopt_requested())
            tasks.create_task(self._check())

    async def _adopt_requested(self) -> None:
        while True:
            await self._calls.wait()
            await self._adopt()

    async def _check(self) -> None:
        """Adopt what no event has requested, move ended enrollments, and load the forwards."""
        while True:
            await self._context.clock.sleep(CHECK_SECONDS)
            self._calls.request()
            for transfer in await self._due():
                if transfer.is_adopted:
                    while await self._move_ended(transfer):
                        await self._context.clock.sleep(NEXT_PAGE_SECONDS)
            async with self._evaluator.groups:  # a commit may change them
                await self.forwards_changed()

    async def _adopt(self) -> None:
        """Adopt all merges that wait. They take turns, page by page, so that no merge waits for the
        enrollments of another; groups are processed between two pages. A call that arrives begins a
        new round, in which the transfers continue that have not had their turn."""
        served: set[str] = set()
        while waiting := await self._calls.begin_round(self._waiting):
            if served.issuperset(each.id for each in waiting):
                served.clear()
            for transfer in [each for each in waiting if each.id not in served]:
                served.add(transfer.id)
                if not await self._adopt_page(transfer):
                    self._calls.finish(transfer)
                if self._calls.is_requested:
                    break

    async def _adopt_page(self, transfer: Transfer) -> bool:
        async with self._evaluator.groups:
            return await self._take_over(transfer)

    async def _take_over(self, transfer: Transfer) -> bool:
        """Move a page of active enrollments and load their contact, before another event is
        evaluated. Returns whether there are more. The caller holds `Evaluator.groups`."""
        has_more = await self._move(transfer)
        self._context.fail_point(FailPoint.TRANSFERRED)
        load = partial(self._evaluator.adopt, self._lease, target(transfer))
        await self._context.retry("Postgres: load", "reload", load)
        if self._executions is not None:
            await self._executions.adopt(target(transfer))
        await self._missed.moved(transfer.tenant_id)
        return has_more

    async def _move_ended(self, transfer: Transfer) -> bool:
        """Move a page of ended enrollments. Returns whether there are more. A release that moves
        others first leaves some that are watched (E18)."""
        self._evaluator.mark_ended(*target(transfer))
        return await self._move(transfer)

    async def _waiting(self) -> list[Transfer]:
        return [each for each in await self._due() if not each.is_adopted]

    async def _due(self) -> Sequence[Transfer]:
        read = partial(self._store.transfers, self._lease)
        return await self._context.retry("Postgres: load", "transfers", read)

    async def _move(self, transfer: Transfer) -> bool:
        """Move a page. Retried while Postgres is unavailable."""
        move = partial(_move_page, self._context, self._store, self._lease, transfer)
        return await self._context.retry("Postgres: commit", "transfer", move)
