"""Answers the questions of an evaluation about the projection of contacts (E16, E22).

The projection in Postgres is that before the group. The events of the group that precede a question
are applied to it, as the commit will do.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

from goald import _native
from goald.domain.contacts.known import KnownState, old_tags, state_of
from goald.domain.contacts.merging import ContactKey, StoredContact
from goald.domain.contacts.projection import Contact
from goald.domain.contacts.reading import facts_of
from goald.ports.change import ContactEvent

_Place: TypeAlias = tuple[int, int]
"""The numbers of contact events and deletions of the group that precede a question."""
_Question: TypeAlias = tuple[_Place, str, str, Callable[[Contact], bool]]
"""Its place, tenant and contact, and what takes the contact at that place and returns whether the
evaluation must be repeated."""


@dataclass
class KnownContacts:
    """The answers to the questions of the evaluations of a group."""

    old_tags: dict[tuple[str, str], Sequence[int]] = field(default_factory=dict)
    """By tenant and event key: the positions of the tags in the list of the event that its contact
    had before."""
    states: dict[tuple[str, str], KnownState] = field(default_factory=dict)
    """By tenant and enrollment id: the state of the contact when the enrollment starts."""

    def contacts_of(self, proposal: _native.Proposal) -> list[ContactKey]:
        """Return the contacts that an evaluation asks about, without the answered questions."""
        return sorted({(tenant, contact) for _, tenant, contact, _ in self._open(proposal)})

    def answer(
        self, proposal: _native.Proposal, stored: Mapping[ContactKey, StoredContact]
    ) -> bool:
        """Answer the questions of an evaluation about these contacts, whose projections are
        changed. Returns whether the evaluation must be repeated, because it assumed something else:
        that all tags are new, and that contacts have no state."""
        applied = replays(proposal, stored)
        differs = False
        for place, tenant, contact, answer in sorted(self._open(proposal), key=lambda row: row[0]):
            if (tenant, contact) in applied:
                differs |= answer(applied[tenant, contact].until(*place))
        return differs

    def _open(self, proposal: _native.Proposal) -> Iterator[_Question]:
        """Yield the questions that are not answered yet."""
        for event, *place in proposal.tag_checks:
            tenant, contact, _, _, key, _, data, _ = event
            if (tenant, key) not in self.old_tags:
                yield _place(place), tenant, contact, partial(self._find_old, tenant, key, data)
        for tenant, contact, enrollment, started_by, *place in proposal.state_checks:
            if (tenant, enrollment) not in self.states:
                find = partial(self._find_state, tenant, enrollment, started_by)
                yield _place(place), tenant, contact, find

    def _find_old(self, tenant: str, event: str, data: str, contact: Contact) -> bool:
        if (tenant, event) in self.old_tags:  # the group has the event twice
            return False
        old = old_tags(contact, json.loads(data), event)
        self.old_tags[tenant, event] = old
        return bool(old)

    def _find_state(
        self, tenant: str, enrollment: str, started_by: str | None, contact: Contact
    ) -> bool:
        state = state_of(contact, started_by)
        self.states[tenant, enrollment] = state
        return bool(state.tags or state.stages)


class ContactReplay:
    """The events of a group about one contact, and its projection as they are applied."""

    def __init__(self, stored: StoredContact) -> None:
        self._contact = stored.contact
        self._deleted_at = stored.deleted_at
        self.events: list[tuple[int, ContactEvent]] = []
        """With their numbers in the group."""
        self.deletions: list[tuple[int, int]] = []
        """Their numbers and times."""
        self._applied = 0

    def until(self, events: int, deletions: int) -> Contact:
        """Return the contact after the first `events` and `deletions` of the group. Call it in
        their order."""
        while self._applied < len(self.events) and self.events[self._applied][0] < events:
            event = self.events[self._applied][1]
            self._applied += 1
            if self._deleted_at is None or event.time > self._deleted_at:
                given = facts_of(event.event_type, json.loads(event.data))
                self._contact.apply(given, event.source)
        deleted_at = [at for number, at in self.deletions if number < deletions]
        if deleted_at and self._contact.erase(max(deleted_at)):
            self._contact = Contact(by_case=self._contact.by_case)
        return self._contact


def replays(
    proposal: _native.Proposal, stored: Mapping[ContactKey, StoredContact]
) -> Mapping[ContactKey, ContactReplay]:
    """Return the stored contacts, to be changed by the events and deletions of a group."""
    found = {key: ContactReplay(contact) for key, contact in stored.items()}
    for number, row in enumerate(proposal.contact_events):
        event = ContactEvent(*row)
        if (event.tenant_id, event.contact_id) in found:
            found[event.tenant_id, event.contact_id].events.append((number, event))
    for number, (tenant, contact, _, deleted_at) in enumerate(proposal.deletions):
        if (tenant, contact) in found:
            found[tenant, contact].deletions.append((number, deleted_at))
    return found


def _place(numbers: Sequence[int]) -> _Place:
    contact_events, deletions = numbers
    return contact_events, deletions
