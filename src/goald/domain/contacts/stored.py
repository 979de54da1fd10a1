"""The projection of a contact as columns of a table."""

import json
from typing import Any, NamedTuple

from goald.domain.contacts.addresses import email_key
from goald.domain.contacts.projection import Contact
from goald.domain.contacts.tags import Tag


class ContactColumns(NamedTuple):
    """The values of a row; those of the last four are JSON."""

    email: str | None
    email_key: str | None
    phone: str | None
    timezone: str | None
    opted_in: bool | None
    attributes: str
    tags: str
    stages: str
    stamps: str


def columns_of(contact: Contact) -> ContactColumns:
    """Return the row of a contact."""
    tags = [{"id": tag.id, "name": tag.name, "by": tag.added_by} for tag in contact.tags]
    return ContactColumns(
        contact.email,
        None if contact.email is None else email_key(contact.email),
        contact.phone,
        contact.timezone,
        contact.opted_in,
        *(_json(value) for value in (contact.attributes, tags, contact.stages, contact.stamps)),
    )


def contact_of(row: ContactColumns) -> Contact:
    """Return the contact of a row."""
    tags = json.loads(row.tags)
    return Contact(
        email=row.email,
        phone=row.phone,
        timezone=row.timezone,
        opted_in=row.opted_in,
        attributes=json.loads(row.attributes),
        tags=[Tag(tag["id"], tag["name"], tag.get("by", "")) for tag in tags],
        stages=json.loads(row.stages),
        stamps=json.loads(row.stamps),
    )


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
