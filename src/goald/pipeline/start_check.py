"""Whether a start would be refused because of the limit of its contact (E5), before it is sent.

The answer is that of Postgres at this moment. Events on the way are not counted, and neither are
contacts beyond a bound, so a start that passes may still be refused by its shard.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

import orjson

from goald.domain.ids import ContactId, TenantId
from goald.pipeline.intake import AcceptedEvent
from goald.ports.contacts import StartReader

STARTED: Final = "workflow.enrollment.started"
MAX_CONTACTS: Final = 8
"""Contacts that one call looks up: those with the most starts. The work of a call is bounded."""


class _Start(NamedTuple):
    position: int
    contact: ContactId
    enrollment: str


class StartCheck:
    """Finds the starts of contacts that have reached the limit of active enrollments."""

    def __init__(self, reader: StartReader, *, max_active: int) -> None:
        """`max_active`: GOALD_MAX_ENROLLMENTS_PER_CONTACT, as the shards have it."""
        self._reader = reader
        self._max_active = max_active

    @property
    def reason(self) -> str:
        """The reason of the refusal, as in a dead letter."""
        return (
            f"the contact has {self._max_active} active enrollments, which is the limit "
            "(GOALD_MAX_ENROLLMENTS_PER_CONTACT)"
        )

    async def refused(self, tenant: str, events: Sequence[AcceptedEvent]) -> set[int]:
        """Return the positions in `events` of the starts that would be refused. A start of an
        enrollment that exists is a repeat and is not refused. Raises ServiceUnavailable."""
        starts = _starts(events)
        if not starts:
            return set()
        counts = Counter(start.contact for start in starts)
        contacts = [contact for contact, _ in counts.most_common(MAX_CONTACTS)]
        starts = [start for start in starts if start.contact in contacts]
        state = await self._reader.start_state(
            TenantId(tenant), contacts, sorted({start.enrollment for start in starts})
        )
        active = Counter(state.active)
        begun = set(state.existing)
        refused = set()
        for start in starts:
            if start.enrollment in begun:
                continue
            if active[start.contact] >= self._max_active:
                refused.add(start.position)
            else:
                active[start.contact] += 1
                begun.add(start.enrollment)
        return refused


def _starts(events: Sequence[AcceptedEvent]) -> list[_Start]:
    """The starts among the events, except those behind another event of their contact, which may
    end enrollments and make room. A start whose type is written with JSON escapes counts as another
    event: its shard decides."""
    starts = []
    others: set[str] = set()
    for position, event in enumerate(events):
        attributes = orjson.loads(event.payload) if STARTED.encode() in event.payload else None
        if attributes is None or attributes["type"] != STARTED:
            others.add(event.contact)
        elif event.contact not in others:
            enrollment = attributes["data"]["enrollment_id"]
            starts.append(_Start(position, ContactId(event.contact), enrollment))
    return starts
