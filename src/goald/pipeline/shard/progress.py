"""The progress of one group through evaluate, commit and apply, failures included (D4)."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from goald import _native
from goald.domain.errors import BreakerOpen, ContentRefused
from goald.pipeline.poison.bisection import Bisection
from goald.pipeline.poison.breaker import CircuitBreaker
from goald.pipeline.retry import pauses
from goald.pipeline.shard.commit import slices
from goald.pipeline.shard.evaluate import Evaluator
from goald.pipeline.shard.group import DeferredEvents, Group
from goald.pipeline.shard.turns import Turns
from goald.ports.change import Committed
from goald.ports.outbound import DeadLetter


@dataclass(frozen=True, slots=True)
class CommittedSlice:
    """A slice that is committed and applied to memory, and its messages to publish."""

    proposal: _native.Proposal
    committed: Committed
    dead_letters: list[DeadLetter]
    group: Group | None
    """The group that is done when this slice is published; None if more slices of it follow."""


class GroupProgress:
    """The remaining evaluations of a group, and the remaining slices to commit."""

    def __init__(
        self, group: Group, evaluator: Evaluator, breaker: CircuitBreaker, turns: Turns
    ) -> None:
        """`turns` keeps the events of the group that are deferred."""
        self._group = group
        self._evaluator = evaluator
        self._breaker = breaker
        self._turns = turns
        self._deferred: list[DeferredEvents] = []
        self._processed = 0
        self._bisection: Bisection[Group, _native.Proposal] = Bisection(group)
        self._current = group
        self._refused: ContentRefused | None = None
        self._pauses = pauses()

    def __iter__(self) -> Iterator[Group]:
        """Yield the next group to evaluate: first the whole group; after a failure, the rest."""
        for group in self._bisection:
            self._current, self._refused = self._in_order(group), None
            yield self._current

    def slices(self, proposal: _native.Proposal) -> Iterator[_native.Proposal]:
        """Yield the slices of the current evaluation, as long as it stays valid."""
        return self._bisection.slices(slices(proposal))

    def bisect(self, proposal: _native.Proposal, refused: ContentRefused) -> bool:
        """Halve the group, down to one event, then the refused slice of that event, because
        Postgres refuses its content. Returns False if neither can be halved: then this slice is
        skipped, and its event is dead-lettered with its last slice.

        If the shard runs workflows, the later phases may be what is refused: the events are
        committed without them first (X1). Raises BreakerOpen."""
        first_phases = self._current.first_phases
        if proposal.executions is not None and first_phases is not None:
            self._bisection.next(first_phases)
            return True
        if self._bisection.divide(self._current, proposal):
            return True
        tenants = self._tenants_without_cause(proposal)
        if not tenants:
            self._refused = refused
        for tenant in tenants:
            self._breaker.record_failure(tenant)
        return False

    @property
    def blames_event(self) -> bool:
        """Whether the event of the current group is what Postgres refuses."""
        return self._refused is not None

    def _tenants_without_cause(self, proposal: _native.Proposal) -> set[str]:
        """The tenants of a slice of executions that the events do not concern."""
        if proposal.executions is None:
            return set()
        of = proposal.executions.transitions
        contacts = set(zip(of.tenant_id, of.contact_id, strict=True))
        concerned = set(self._evaluator.contacts_of(self._current.buffers))
        return {tenant for tenant, _ in contacts} if contacts.isdisjoint(concerned) else set()

    def repeat(self) -> float:
        """Evaluate the current group again. Returns the seconds to wait before that."""
        self._bisection.next(self._current)
        return next(self._pauses)

    def conclude(self, proposal: _native.Proposal, committed: Committed) -> CommittedSlice:
        """Return the messages to publish for a slice that is committed and applied.

        With the last slice, the group's deferred events are kept for a later turn. If the circuit
        breaker opens, the slice's messages are published all the same, but it has no dead
        letters, and the group is never done.
        """
        dead_letters = self._current.rejected(proposal, committed)
        if self._bisection.is_last_slice:
            try:
                dead_letters += self._judge(proposal)
            except BreakerOpen:
                return CommittedSlice(proposal, committed, [], None)
            self._processed += proposal.events
            if self._refused is None:
                self._current.forward(proposal, committed)
            self._defer(proposal)
            self._on_current_committed(proposal)
        if not self._bisection.is_finished:
            return CommittedSlice(proposal, committed, dead_letters, None)
        self._turns.defer(self._group, self._deferred, self._processed)
        return CommittedSlice(proposal, committed, dead_letters, self._group)

    def _judge(self, proposal: _native.Proposal) -> list[DeadLetter]:
        """Return the dead letter of an event that Postgres refused, and update the breaker.
        Raises BreakerOpen."""
        if self._refused is not None:
            for tenant in self._evaluator.tenants_of(self._current.buffers):
                self._breaker.record_failure(tenant)
            return self._current.dead_letters(str(self._refused))
        if proposal.events > len(proposal.rejects):
            self._breaker.record_success()
        return []

    def _in_order(self, group: Group) -> Group:
        """Return a group in which the tenants wait that have waiting events in earlier ones."""
        if not self._deferred or not group.completions:
            return group
        tenants = {each.tenant for each in self._deferred}
        return replace(group, deferred_tenants=group.deferred_tenants | tenants)

    def _defer(self, proposal: _native.Proposal) -> None:
        """Keep the events that the current evaluation deferred. If no caller waits for them,
        evaluate them next. The rest of an event that Postgres refuses is in its dead letter."""
        if self._refused is not None:
            return
        if self._current.completions:
            self._deferred += self._current.deferred(proposal)
        elif rest := self._current.rest(proposal):
            self._bisection.next(rest)

    def _on_current_committed(self, proposal: _native.Proposal) -> None:
        """Called when the last slice of the group yielded last is committed."""
