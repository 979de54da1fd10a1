"""Group commit: the events that a shard evaluates and commits together."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from goald import _native
from goald.pipeline.shard_batch import Forwarded, Origin, ShardBatch
from goald.ports.change import Committed
from goald.ports.outbound import DeadLetter

SHARE: Final = 500_000
"""The work of one tenant in one group, in units of about 100 ns (D8). Beyond it, the tenant's
events are deferred. An ordinary event has 7 units and an exit 2,400, so a full group of ordinary
events of one tenant is below it."""


class Completion:
    """The two ends of a batch, for the call that sent it: its first group is processed, and all
    pieces of the batch are. A batch is one piece until events of it are deferred."""

    def __init__(self, processed: "asyncio.Future[Sequence[Forwarded]]") -> None:
        """`processed` is done when all pieces are processed, with the events to pass on."""
        self._processed = processed
        self._forwarded: list[Forwarded] = []
        self.grouped: asyncio.Future[None] = processed.get_loop().create_future()
        """Done when the events that were not deferred are processed."""
        self._pieces = 1

    def add_piece(self) -> None:
        """Some events of the batch are processed separately."""
        self._pieces += 1

    def forward(self, events: Forwarded) -> None:
        """Events of the batch must be passed on, after those of earlier calls (E21)."""
        self._forwarded.append(events)

    def finish_piece(self) -> None:
        """One piece is processed: all of its effects are published."""
        self._pieces -= 1
        if self._pieces == 0:
            self.end()
        elif not self.grouped.done():
            self.grouped.set_result(None)

    def end(self) -> None:
        """Let the call return, whether or not the batch is processed."""
        if not self._processed.done():
            self._processed.set_result(tuple(self._forwarded))
        if not self.grouped.done():
            self.grouped.set_result(None)

    def supersede(self) -> None:
        """Cancel the futures of the batch: a later holder of its stream sends its events again."""
        self._processed.cancel()
        self.grouped.cancel()


@dataclass(frozen=True, slots=True)
class DeferredEvents:
    """Events of one tenant and one batch that wait for a later group (D8)."""

    tenant: str
    batch: ShardBatch
    """The batch, with these events only."""
    completion: Completion


@dataclass(frozen=True, slots=True)
class Group:
    """Batches processed together, in order of arrival."""

    batches: Sequence[ShardBatch]
    completions: Sequence[Completion]
    """One for each batch; empty if no caller waits for the group."""
    deferred_tenants: frozenset[str] = frozenset()
    """Tenants whose events in this group wait, because earlier ones do."""
    tenants: Sequence[str] = ()
    """The tenants whose deferred events these are, in order of their turns. Empty: new batches,
    of any tenant."""
    share: int = SHARE
    """The work of each tenant in this group."""
    event_share: int = SHARE
    """The work of each event in this group."""
    only: Sequence[tuple[str, str, str]] | None = None
    """(tenant, enrollment, event key): missed events, and the enrollments for which they are judged
    (E19). None: every event is judged for all."""
    old_tags: Mapping[tuple[str, str], Sequence[int]] = field(default_factory=dict)
    """Of missed events, by tenant and event key (`MissedEvent.old_tags`)."""
    only_events: bool = False
    """Results, timers and due steps follow in a later group, when all events of this one are
    committed (X1)."""
    returned: frozenset[int] = frozenset()
    """The indexes of batches that were passed on and go back, because their contacts do not
    continue the merged contacts any more (E21)."""

    @property
    def buffers(self) -> list[bytes]:
        return [batch.buffer for batch in self.batches]

    @property
    def merges(self) -> list[tuple[int, tuple[int, ...]]]:
        """Of the batches that have any, by their index (`Origin.merges`)."""
        origins = enumerate(each.origin for each in self.batches)
        return [(number, of.merges) for number, of in origins if of is not None and of.merges]

    @property
    def origins(self) -> list[tuple[int, str, bool]]:
        """(index of a batch, merged contact, whether its events go back) of those passed on."""
        origins = enumerate(each.origin for each in self.batches)
        return [
            (number, of.contact, number in self.returned)
            for number, of in origins
            if of is not None and of.contact
        ]

    def rejected(self, proposal: _native.Proposal, committed: Committed) -> list[DeadLetter]:
        """Return the dead letters of one slice: what the evaluation rejected, and the events
        that name an enrollment id of another contact or workflow (E5). A repeat of the
        enrollment's owner is not rejected, even if another claim arrived first, unless it starts an
        enrollment that has ended again, at another time (E12)."""
        owners = [(each.effect, each.contact, each.workflow) for each in committed.conflicts]
        rejected = proposal.rejects_given_owners(owners, committed.ended)
        rejected += _refused_merges(proposal, committed)
        return [
            DeadLetter(self.batches[batch].stream, entry_id, event, reason, delivery_attempts=1)
            for batch, entry_id, reason, event in rejected
        ]

    def forward(self, proposal: _native.Proposal, committed: Committed) -> None:
        """Let the senders of these batches pass on the events of merged contacts (E21)."""
        if not self.completions:
            return
        for batch, slot, buffer in _transfers(proposal, committed):
            self.completions[batch].forward(Forwarded(slot, buffer))
        for batch, slot, buffer, merges, contact in proposal.forwarded:
            origin = Origin(contact, tuple(merges))
            self.completions[batch].forward(Forwarded(slot, buffer, origin))

    def deferred(self, proposal: _native.Proposal) -> list[DeferredEvents]:
        """Return the events that the evaluation deferred, those of one tenant in order. Each
        counts as another piece of its batch."""
        deferred = []
        for batch, tenant, _, buffer in proposal.deferred:
            completion = self.completions[batch]
            completion.add_piece()
            piece = self.batches[batch]._replace(buffer=buffer)
            deferred.append(DeferredEvents(tenant, piece, completion))
        return deferred

    def rest(self, proposal: _native.Proposal) -> "Group | None":
        """Return a group of the deferred events; None if there are none."""
        batches = [
            self.batches[batch]._replace(buffer=buffer) for batch, _, _, buffer in proposal.deferred
        ]
        return replace(self, batches=batches) if batches else None

    @property
    def first_phases(self) -> "Group | None":
        """The group without the later phases of its contacts. None if it has no new batches, or is
        without them."""
        if self.only_events or self.tenants or not self.completions:
            return None
        return replace(self, only_events=True)

    def halves(self) -> "tuple[Group, Group] | None":
        """Return two groups of its entries, in order. None if it is a single entry."""
        if not self.batches:
            return None
        middle = len(self.batches) // 2
        if middle > 0:
            return self._slice(slice(middle)), self._slice(slice(middle, None))
        (batch,) = self.batches
        halves = _native.buffer_halves(batch.buffer)
        if halves is None:
            return None
        first, second = (replace(self, batches=[batch._replace(buffer=half)]) for half in halves)
        return first, second

    def _slice(self, of: slice) -> "Group":
        return replace(self, batches=self.batches[of], completions=self.completions[of])

    def dead_letters(self, reason: str) -> list[DeadLetter]:
        """Return a dead letter for every entry."""
        return [
            DeadLetter(batch.stream, entry_id, event, reason, delivery_attempts=1)
            for batch in self.batches
            for entry_id, event in _native.buffer_entries(batch.buffer)
        ]

    def done(self) -> None:
        """Let the calls return that sent these batches, unless they sent others that wait: all
        effects are published."""
        for completion in self.completions:
            completion.finish_piece()

    def abandon(self) -> None:
        """Let the calls return, although their batches are not processed."""
        for completion in self.completions:
            completion.end()


def _refused_merges(
    proposal: _native.Proposal, committed: Committed
) -> list[tuple[int, bytes, str, bytes]]:
    """As `Proposal.rejects`, for the merges that the commit refused."""
    return [
        (batch, entry_id, outcome.refused, event)
        for outcome, (batch, entry_id, event, *_) in zip(
            committed.merges, proposal.merge_sources if committed.merges else (), strict=True
        )
        if outcome.refused is not None
    ]


def _transfers(proposal: _native.Proposal, committed: Committed) -> list[tuple[int, int, bytes]]:
    """(index of the batch, slot, buffer): the events that ask for the enrollments of merged
    contacts in their new place."""
    return [
        (batch, slot, buffer)
        for outcome, (batch, _, _, slot, buffer) in zip(
            committed.merges, proposal.merge_sources if committed.merges else (), strict=True
        )
        if outcome.forward is not None
    ]
