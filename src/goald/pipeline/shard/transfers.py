"""Transfers (E21): a shard takes over the enrollments of contacts that were merged into contacts of
its slots.

The other shard has committed the merge, and changes these enrollments no more. This shard moves
them in a transaction, and then loads them. A consumer asks for that with the event that it
forwards; events of merged contacts arrive behind it. Should the event be lost with Redis, the
shard finds the merge in Postgres.
"""

from collections.abc import Sequence
from functools import partial

from goald import _native
from goald.domain.fail_points import FailPoint
from goald.domain.leases import SlotLease
from goald.pipeline.context import ShardContext
from goald.pipeline.shard.evaluate import Evaluator
from goald.pipeline.shard.group import Group
from goald.pipeline.shard.missed import MissedEvents
from goald.ports.change import Committed
from goald.ports.shard_store import ShardStore, Transfer

CHECK_SECONDS = 5.0
NEXT_PAGE_SECONDS = 0.05


async def adopt(store: ShardStore, lease: SlotLease) -> None:
    """Take over the enrollments of all merges that wait, before they are loaded."""
    for transfer in await store.transfers(lease):
        await store.adopt(lease, transfer, _native.with_contact)


class Transfers:
    """The transfers to one slot range."""

    def __init__(
        self,
        context: ShardContext,
        store: ShardStore,
        lease: SlotLease,
        evaluator: Evaluator,
        missed: MissedEvents,
    ) -> None:
        self._context = context
        self._store = store
        self._lease = lease
        self._evaluator = evaluator
        self._missed = missed

    async def before(self, group: Group) -> None:
        """Take over what the forwarded events of a group may need. The caller holds
        `Evaluator.groups`."""
        if any(batch.forwarded for batch in group.batches):
            await self._adopt()

    async def of_conflicts(self, proposal: _native.Proposal, committed: Committed) -> bool:
        """Take over the enrollments that events of the contacts that continue have named, before a
        consumer asked for them. Returns whether there were any: then the events must be evaluated
        again. The caller holds `Evaluator.groups`."""
        if not committed.conflicts:
            return False
        effects = proposal.effects
        tenants, contacts = effects.tenant_id, effects.contact_id
        keys = {(tenants[each.effect], contacts[each.effect]) for each in committed.conflicts}
        waiting = await self._waiting()
        if keys.isdisjoint((each.tenant_id, each.into_contact_id) for each in waiting):
            return False
        await self._adopt()
        return True

    async def run(self) -> None:
        """Move ended enrollments, and take over those that no event has requested, until
        cancelled. Raises LeaseLost."""
        store, lease, retry = self._store, self._lease, self._context.retry
        while True:
            await self._context.clock.sleep(CHECK_SECONDS)
            if await self._waiting():
                async with self._evaluator.groups:
                    await self._adopt()
            move = partial(store.move_ended, lease)
            while await retry("Postgres: commit", "move_ended", move):
                await self._context.clock.sleep(NEXT_PAGE_SECONDS)
            load = partial(self._evaluator.load_forwards, lease)
            async with self._evaluator.groups:  # a commit may change them
                await retry("Postgres: load", "forwards", load)

    async def _waiting(self) -> Sequence[Transfer]:
        """The merges whose enrollments have not moved."""
        find = partial(self._store.transfers, self._lease)
        return await self._context.retry("Postgres: load", "transfers", find)

    async def _adopt(self) -> None:
        """Move the enrollments of all merges that wait, then load their contacts. Retried while
        Postgres is unavailable."""
        store, lease, retry = self._store, self._lease, self._context.retry
        waiting = await self._waiting()
        for transfer in waiting:
            adopt_ = partial(store.adopt, lease, transfer, _native.with_contact)
            await retry("Postgres: commit", "adopt", adopt_)
        if waiting:
            self._context.fail_point(FailPoint.TRANSFERRED)
            contacts = sorted({(each.tenant_id, each.into_contact_id) for each in waiting})
            load = partial(self._evaluator.load_contacts, lease, contacts)
            await retry("Postgres: load", "reload", load)
            # Of workflows that are active since the merge.
            tenants = {each.tenant_id for each in waiting}
            await self._missed.replay(self._evaluator.active_workflows(tenants))
