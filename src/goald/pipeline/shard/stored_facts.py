"""Evaluates a group with what only Postgres knows (E5, E11, E16, E18, E22).

A shard has the active enrollments of its contacts in memory. It does not have the ids of ended
enrollments, so it does not know whether a start is a repeat; and it does not have the events that
counted for earlier enrollments of a contact. Postgres is asked only if the result depends on it,
which is rare: a start would be refused because of the limit of its contact, or an event counts for
an enrollment that started in this group, or after an earlier one of its contact in the workflow; or
an event with a list of tags meets a goal; or an enrollment starts in a workflow whose goals are
checked on enrollment; or an event would meet a goal of an enrollment that has ended.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from goald import _native
from goald.domain.contacts.merging import ContactKey, StoredContact
from goald.domain.ids import ContactId, TenantId
from goald.pipeline.shard.evaluate import Evaluator
from goald.pipeline.shard.group import Group
from goald.pipeline.shard.known.contacts import KnownContacts
from goald.pipeline.shard.known.ended import KnownEnded
from goald.pipeline.shard.known.executions import ExecutionFacts
from goald.ports.shard_store import (
    EndedCheck,
    EnrollmentStart,
    EventCheck,
    Excluded,
    WatchedRuns,
)


class StoredFacts(Protocol):
    """The methods of `ShardStore` with these names, of the lease."""

    async def repeats(self, starts: Sequence[EnrollmentStart]) -> set[tuple[TenantId, str]]: ...

    async def excluded(self, checks: Sequence[EventCheck]) -> set[Excluded]: ...

    async def ended(self, checks: Sequence[EndedCheck]) -> WatchedRuns: ...

    async def contacts(
        self, contacts: Sequence[ContactKey]
    ) -> Mapping[ContactKey, StoredContact]: ...


async def evaluate(
    evaluator: Evaluator,
    group: Group,
    now_us: int,
    stored: StoredFacts,
    executions: ExecutionFacts | None = None,
) -> _native.Proposal:
    """Return what the events of a group would change. Memory does not change. `executions`: what is
    evaluated of executions next to the events; None if the shard has none.

    The group is evaluated again, knowing the answers, until its result depends on nothing that
    Postgres answers differently. Ends, because each evaluation but the last asks something that
    was not asked before. It is evaluated a few times only because of ended enrollments.
    """
    asked_starts: set[EnrollmentStart] = set()
    asked_checks: set[EventCheck] = set()
    repeats: set[tuple[TenantId, str]] = set()
    excluded: set[Excluded] = set()
    known, ended = KnownContacts(dict(group.old_tags)), KnownEnded()
    while True:
        options = None if executions is None else executions.options(group)
        proposal = evaluator.evaluate(group, now_us, repeats, excluded, known, ended, options)
        starts = {
            EnrollmentStart(TenantId(tenant), enrollment, ContactId(contact), enrolled_at)
            for tenant, enrollment, contact, enrolled_at in proposal.doubtful_starts
        } - asked_starts
        checks = {EventCheck(*row) for row in proposal.event_checks} - asked_checks
        found = await stored.repeats(sorted(starts)) if starts else set()
        found_excluded = await stored.excluded(sorted(checks)) if checks else set()
        contacts = known.contacts_of(proposal)
        differs = bool(contacts) and known.answer(proposal, await stored.contacts(contacts))
        if asked := ended.open(proposal):
            differs |= ended.answer(asked, await stored.ended(asked))
        if executions is not None:
            differs |= await executions.answer(proposal)
        if not found and not found_excluded and not differs:
            return proposal
        asked_starts |= starts
        asked_checks |= checks
        repeats |= found
        excluded |= found_excluded
