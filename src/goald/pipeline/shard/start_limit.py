"""The limit of active enrollments of a contact, regardless of how its events are batched (E5).

A shard knows the active enrollments of its contacts, but not whether Postgres has the id of a new
one, perhaps ended. Such a start is a repeat: it begins nothing, so it must not use the last place
of its contact. The question is asked only if a start would be refused.
"""

from collections.abc import Awaitable, Callable, Sequence

from goald import _native
from goald.domain.ids import ContactId, TenantId
from goald.pipeline.shard.evaluate import Evaluator
from goald.pipeline.shard.group import Group
from goald.ports.shard_store import EnrollmentStart

FindRepeats = Callable[[Sequence[EnrollmentStart]], Awaitable[set[tuple[TenantId, str]]]]


async def evaluate(
    evaluator: Evaluator, group: Group, now_us: int, find_repeats: FindRepeats
) -> _native.Proposal:
    """Return what the events of a group would change. Memory does not change.

    If starts are refused, the group is evaluated again, knowing which of the starts that the
    refusals depend on are repeats. Ends, because each evaluation but the last asks for starts that
    were not asked for before. `find_repeats` is `ShardStore.repeats` of the lease.
    """
    asked: set[EnrollmentStart] = set()
    repeats: set[tuple[TenantId, str]] = set()
    while True:
        proposal = evaluator.evaluate(group, now_us, repeats)
        starts = {
            EnrollmentStart(TenantId(tenant), enrollment, ContactId(contact), enrolled_at)
            for tenant, enrollment, contact, enrolled_at in proposal.starts_at_limit
        }
        if starts <= asked:
            return proposal
        found = await find_repeats(sorted(starts - asked))
        asked |= starts
        if not found:
            return proposal
        repeats |= found
