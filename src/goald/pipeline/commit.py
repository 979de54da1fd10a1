"""Commit: make durable what a group proposes, in one transaction, under the lease."""

from goald import _native
from goald.domain.leases import SlotLease
from goald.pipeline.messages import outbox_rows
from goald.ports import Change, Committed, ShardStore

NOTHING = Committed(effective=b"")


async def commit(
    store: ShardStore, lease: SlotLease, proposal: _native.Proposal, now_us: int
) -> Committed:
    """Write a proposal, or read the lease where there is nothing to write (D2).

    Raises LeaseLost with nothing written (D3), or CommitUnknown: then memory is to be loaded
    again before anything else is evaluated.
    """
    if proposal.changes_nothing:
        await store.check(lease)
        return NOTHING
    change = Change(
        effects=proposal.effects,
        achievements=proposal.achievements,
        outbox=outbox_rows(proposal, now_us),
        deletions=proposal.deletions,
        acknowledgements=proposal.acknowledgements,
    )
    return await store.commit(lease, change)
