"""The projection of the contacts of one commit (D1)."""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from goald.domain.contacts.projection import Contact, EventRef
from goald.domain.contacts.reading import facts_of

ContactKey: TypeAlias = tuple[str, str]
"""(tenant, contact)."""


@dataclass(frozen=True, slots=True)
class StoredContact:
    """The stored projection of a contact, and its deletion."""

    contact: Contact
    deleted_at: int | None
    """The time of its latest deletion. Events until then give nothing."""


@dataclass
class Merge:
    """Contacts, and how the events and deletions of a commit change them."""

    contacts: dict[ContactKey, Contact]
    """Those that are known before; changed in place."""
    by_case: Collection[str] = ()
    """The tenants that distinguish names of tags by case."""
    written: set[ContactKey] = field(default_factory=set)
    """The contacts to be written."""
    deleted: set[ContactKey] = field(default_factory=set)
    """The contacts of which nothing is left."""

    def apply(self, key: ContactKey, event_type: str, source: EventRef, data: str) -> None:
        """Apply an event. `data`: its data as JSON."""
        given: Any = json.loads(data)
        contact = self.contacts.setdefault(key, Contact(by_case=key[0] in self.by_case))
        contact.apply(facts_of(event_type, given), source)
        self.written.add(key)

    def erase(self, deletions: Mapping[ContactKey, int]) -> None:
        """Erase what events gave until the deletions of these contacts, by time."""
        for key in self._known(deletions):
            if self.contacts[key].erase(deletions[key]):
                del self.contacts[key]
                self.written.discard(key)
                self.deleted.add(key)
            else:
                self.written.add(key)

    def _known(self, keys: Iterable[ContactKey]) -> list[ContactKey]:
        return [key for key in keys if key in self.contacts]
