"""A contact as the API and the commands return it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from goald.domain.contacts.projection import Contact
from goald.domain.contacts.tags import Tag


@dataclass(frozen=True, slots=True)
class ContactRecord:
    """A contact, as its events describe it. Times are microseconds since the epoch."""

    contact_id: str
    email: str | None
    phone: str | None
    timezone: str | None
    opted_in: bool | None
    attributes: Mapping[str, Any]
    tags: Sequence[Tag]
    stages: Mapping[str, str]
    """The stage by pipeline; the pipeline is empty if events do not name it."""
    updated_at: int
    """When the projection of the contact last changed."""

    @classmethod
    def of(cls, contact_id: str, contact: Contact, updated_at: int) -> "ContactRecord":
        return cls(
            contact_id,
            contact.email,
            contact.phone,
            contact.timezone,
            contact.opted_in,
            contact.attributes,
            contact.tags,
            contact.stages,
            updated_at,
        )
