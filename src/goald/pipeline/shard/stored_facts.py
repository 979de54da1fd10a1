"""Evaluates a group with what only Postgres knows (E5, E11).

A shard has the active enrollments of its contacts in memory. It does not have the ids of ended
enrollments, so it does not know whether a start is a repeat; and it does not have the events that
counted for earlier enrollments of a contact. Postgres is asked only if the result depends on it,
which is rare: a start would be refused because of the limit of its contact, or an event counts for
an enrollment that started in this group, or after an earlier one of its contact in the workflow.
"""

from collections.abc import Sequence
from typing import Protocol

from goald import _native
from goald.domain.ids import ContactId, TenantId
from goald.pipeline.shard.evaluate import Evaluator
from goald.pipeline.shard.group import Group
from goald.ports.shard_store import EnrollmentStart, EventCheck, Excluded


class StoredFacts(Protocol):
    """`ShardStore.repeats` and `ShardStore.excluded` of the lease."""

    async def repeats(self, starts: Sequence[EnrollmentStart]) -> set[tuple[TenantId, str]]: ...

    async def excluded(self, checks: Sequence[EventCheck]) -> set[Excluded]: ...


async def evaluate(
    evaluator: Evaluator, group: Group, now_us: int, stored: StoredFacts
) -> _native.Proposal:
    """Return what the events of a group would change. Memory does not change.

    The group is evaluated again, knowing the answers, until its result depends on nothing that
    Postgres answers differently. Ends, because each evaluation but the last asks something that
    was not asked before.
    """
    asked_starts: set[EnrollmentStart] = set()
    asked_checks: set[EventCheck] = set()
    repeats: set[tuple[TenantId, str]] = set()
    excluded: set[Excluded] = set()
    while True:
        proposal = evaluator.evaluate(group, now_us, repeats, excluded)
        starts = {
            EnrollmentStart(TenantId(tenant), enrollment, ContactId(contact), enrolled_at)
            for tenant, enrollment, contact, enrolled_at in proposal.doubtful_starts
        } - asked_starts
        checks = {EventCheck(*row) for row in proposal.event_checks} - asked_checks
        found = await stored.repeats(sorted(starts)) if starts else set()
        found_excluded = await stored.excluded(sorted(checks)) if checks else set()
        if not found and not found_excluded:
            return proposal
        asked_starts |= starts
        asked_checks |= checks
        repeats |= found
        excluded |= found_excluded
