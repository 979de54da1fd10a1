"""Commit: make durable what a group proposes, under the lease, in transactions that are bounded
whatever an event meets: one event may end 20,000 enrollments, each with a copy of its payload."""

from goald import _native
from goald.domain.leases import SlotLease
from goald.pipeline.outbox.messages import outbox_rows
from goald.ports.shard_store import Change, Committed, ShardStore

NOTHING = Committed(effective=b"")
SLICE_EFFECTS = 20_000
SLICE_BYTES = 8 << 20
"""About what one transaction writes at most, payloads twice: with the achievement and with the
notice. A group of ordinary events is one slice."""


def slices(proposal: _native.Proposal) -> list[_native.Proposal]:
    """A proposal in parts to be committed and taken one after another. A crash in between
    leaves whole enrollments, each before or after all that the group did to it; the events come
    again, and do the rest."""
    return proposal.slices(SLICE_EFFECTS, SLICE_BYTES)


async def commit(
    store: ShardStore, lease: SlotLease, proposal: _native.Proposal, now_us: int
) -> Committed:
    """Write a slice of a proposal in one transaction, or read the lease where there is nothing
    to write (D2).

    Raises LeaseLost with nothing written (D3); ContentRefused, with nothing written either (D4);
    or CommitUnknown: then memory is to be loaded again before anything else is evaluated.
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
