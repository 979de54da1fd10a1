"""Commit: makes a slice of a group's proposal durable in one transaction, under the lease.

Slices bound the size of a transaction: a single event can end 20,000 enrollments, each with a copy
of its payload.
"""

from collections.abc import Iterator, Sequence

from goald import _native
from goald.domain.leases import SlotLease
from goald.pipeline.executions.prepared import PreparedExecutions
from goald.pipeline.outbox.messages import outbox_rows
from goald.ports.change import (
    AchievementColumns,
    Acknowledgement,
    Change,
    Committed,
    ContactEvent,
    ContactMerge,
    Contender,
    Deletion,
    EffectColumns,
    MissedEvent,
    MissedRun,
    Reversal,
    UsedEvent,
)
from goald.ports.shard_store import ShardStore

NOTHING = Committed(effective=b"")
SLICE_EFFECTS = 20_000
SLICE_BYTES = 8 << 20
"""Approximate maximum of one transaction. A payload counts twice, because the achievement and the
notice each store it. A group of ordinary events is one slice."""


def slices(proposal: _native.Proposal) -> list[_native.Proposal]:
    """Split a proposal into slices, to be committed and applied one after the other.

    A crash between two slices leaves whole enrollments: each is either before or after
    everything that the group did to it. The events are delivered again and do the rest.
    """
    return proposal.slices(SLICE_EFFECTS, SLICE_BYTES)


async def commit(
    store: ShardStore,
    lease: SlotLease,
    proposal: _native.Proposal,
    now_us: int,
    judged: Sequence[tuple[str, str]] = (),
    prepared: PreparedExecutions | None = None,
) -> Committed:
    """Write one slice in one transaction. If it changes nothing, verify the lease instead (D2).
    `judged`: see `Change.judged_runs`. `prepared`: the executions of the slice.

    Raises LeaseLost (D3) or ContentRefused (D4), each with nothing written; or CommitUnknown:
    then the group's contacts must be reloaded before anything else is evaluated.
    """
    if proposal.changes_nothing and not judged:
        if proposal.events > 0:
            await store.check(lease)
        return NOTHING
    return await store.commit(lease, change_of(proposal, now_us, judged, prepared))


def change_of(
    proposal: _native.Proposal,
    now_us: int,
    judged: Sequence[tuple[str, str]] = (),
    prepared: PreparedExecutions | None = None,
) -> Change:
    """The columns of a proposal, each copied out of Rust once, and the messages that it causes."""
    effects, achievements = _effects(proposal.effects), _achievements(proposal.achievements)
    return Change(
        effects=effects,
        achievements=achievements,
        outbox=outbox_rows(
            effects,
            achievements,
            proposal.exits,
            now_us,
            None if prepared is None else prepared.exits_in_flight,
        ),
        deletions=[Deletion(*row) for row in proposal.deletions],
        acknowledgements=[
            *(Acknowledgement(*row) for row in proposal.acknowledgements),
            *_own_acknowledgements(effects, prepared, now_us),
        ],
        contenders=[Contender(*row) for row in proposal.contenders],
        reversals=[Reversal(*row) for row in proposal.reversals],
        used_events=[UsedEvent(*row) for row in proposal.used_events],
        contact_events=[ContactEvent(*row) for row in proposal.contact_events],
        missed_events=[MissedEvent(*row) for row in proposal.missed_events],
        missed_runs=[MissedRun(*row) for row in proposal.missed_runs],
        judged_runs=judged,
        merges=[ContactMerge(*row) for row in proposal.merges],
        executions=None if prepared is None else prepared.change,
    )


def _own_acknowledgements(
    effects: EffectColumns, prepared: PreparedExecutions | None, now_us: int
) -> Iterator[Acknowledgement]:
    """goald acknowledges the exits of the workflows that it runs with their commit."""
    if prepared is None:
        return
    of = prepared.change.transitions
    for number, effect in enumerate(of.effect):
        if effect is None or of.reason[number] != "goal_achieved":
            continue
        is_cancelled = number in prepared.cancelled
        yield Acknowledgement(
            of.tenant_id[number], of.execution_id[number], of.contact_id[number],
            of.workflow_id[number], effects.slot[effect], int(is_cancelled), now_us,
        )  # fmt: skip


def _effects(effects: _native.Effects) -> EffectColumns:
    return EffectColumns(
        tenant_id=effects.tenant_id,
        enrollment_id=effects.enrollment_id,
        contact_id=effects.contact_id,
        workflow_id=effects.workflow_id,
        slot=effects.slot,
        is_new=effects.is_new,
        after_end=effects.after_end,
        status=effects.status,
        enrolled_at=effects.enrolled_at,
        ended_at=effects.ended_at,
        met_goals=effects.met_goals,
        pending_actions=effects.pending_actions,
        started_by=effects.started_by,
        match_values=effects.match_values,
        after_event=effects.after_event,
        received_at=effects.received_at,
        merges=effects.merges,
    )


def _achievements(achievements: _native.Achievements) -> AchievementColumns:
    return AchievementColumns(
        effect=achievements.effect,
        id=achievements.id,
        goal_id=achievements.goal_id,
        goal_type=achievements.goal_type,
        achieved_at=achievements.achieved_at,
        trigger_event=achievements.trigger_event,
        metadata=achievements.metadata,
    )
