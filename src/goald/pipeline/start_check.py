"""Whether a start would be refused, before it is sent: because of the limit of its contact (E5), or
because its enrollment id was used (E12) or belongs to another contact or workflow (E5).

The answer is that of Postgres at this moment. Events on the way are not counted, and neither are
contacts beyond a bound, so a start that passes may still be refused by its shard.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

from goald.domain.ids import ContactId, TenantId
from goald.domain.records.erasure import PSEUDONYM_PREFIX
from goald.pipeline.intake import AcceptedEvent
from goald.ports.contacts import StartReader, StartState

USED_ID: Final = (
    "the enrollment with this enrollment_id has ended; to enroll the contact again, use a new "
    "enrollment_id"
)
OTHER_OWNER: Final = "the enrollment id belongs to another contact or workflow"
MAX_CONTACTS: Final = 8
"""Contacts that one call looks up: those with the most starts. The work of a call is bounded."""


class _Start(NamedTuple):
    position: int
    contact: ContactId
    enrollment: str
    workflow: str
    enrolled_at: int


class RefusedStart(NamedTuple):
    """Why a start would be refused, as in a dead letter."""

    reason: str
    is_limit: bool
    """Because the contact has reached its limit."""


class StartCheck:
    """Finds the starts of contacts that have reached the limit of active enrollments."""

    def __init__(self, reader: StartReader, *, max_active: int) -> None:
        """`max_active`: GOALD_MAX_ENROLLMENTS_PER_CONTACT, as the shards have it."""
        self._reader = reader
        self._max_active = max_active

    @property
    def _limit_reason(self) -> str:
        return (
            f"the contact has {self._max_active} active enrollments, which is the limit "
            "(GOALD_MAX_ENROLLMENTS_PER_CONTACT)"
        )

    async def refused(
        self, tenant: str, events: Sequence[AcceptedEvent]
    ) -> dict[int, RefusedStart]:
        """Return the starts that would be refused, by position in `events`. A start of an
        enrollment that exists is a repeat and is not refused, unless the enrollment belongs to
        another contact or workflow, or has ended and began at another time. Raises
        ServiceUnavailable."""
        starts = _starts(events)
        if not starts:
            return {}
        counts = Counter(start.contact for start in starts)
        contacts = [contact for contact, _ in counts.most_common(MAX_CONTACTS)]
        starts = [start for start in starts if start.contact in contacts]
        state = await self._reader.start_state(
            TenantId(tenant), contacts, sorted({start.enrollment for start in starts})
        )
        starts = [
            start._replace(contact=state.continuing.get(start.contact, start.contact))
            for start in starts
        ]
        active = Counter(state.active)
        begun = set(state.existing)
        refused: dict[int, RefusedStart] = {}
        for start in starts:
            ended = state.ended.get(start.enrollment)
            if ended and ended.refuses(start.contact, start.workflow, start.enrolled_at):
                refused[start.position] = RefusedStart(USED_ID, is_limit=False)
            elif _has_other_owner(start, state):
                refused[start.position] = RefusedStart(OTHER_OWNER, is_limit=False)
            elif start.enrollment in begun:
                continue
            elif active[start.contact] >= self._max_active:
                refused[start.position] = RefusedStart(self._limit_reason, is_limit=True)
            else:
                active[start.contact] += 1
                begun.add(start.enrollment)
        return refused


def _has_other_owner(start: _Start, state: StartState) -> bool:
    """Whether the enrollment of the start's id belongs to another contact or workflow. Only its
    shard knows that of an erased contact."""
    contact, workflow = state.existing.get(start.enrollment, (start.contact, start.workflow))
    if contact.startswith(PSEUDONYM_PREFIX):
        contact = start.contact
    return (contact, workflow) != (start.contact, start.workflow)


def _starts(events: Sequence[AcceptedEvent]) -> list[_Start]:
    """The starts among the events, except those behind another event of their contact, which may
    end enrollments and make room."""
    starts = []
    others: set[str] = set()
    for position, event in enumerate(events):
        if event.start is None:
            others.add(event.contact)
        elif event.contact not in others:
            ids = ContactId(event.contact), event.start.enrollment, event.start.workflow
            starts.append(_Start(position, *ids, event.start.enrolled_at_us))
    return starts
