"""The contact of an event that a provider sends."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from goald.domain.contacts.addresses import email_address, email_key, phone_number
from goald.domain.derived_ids import derived_id
from goald.ports.sources.contacts import ContactLookup
from goald.sources.mapping.results import ContactReference

OnUnknown: TypeAlias = Literal["create", "ignore", "dead"]


@dataclass(frozen=True, slots=True)
class KnownContact:
    """The event is about this contact."""

    id: str


@dataclass(frozen=True, slots=True)
class UnknownContact:
    """No contact is known for the event."""

    reason: str
    """For the operator; without the address."""
    is_dead: bool
    """Whether the event becomes a dead letter; else it is ignored."""


class ContactResolver:
    """Finds the contact of an event, by the platform's id or by an address."""

    def __init__(self, lookup: ContactLookup) -> None:
        self._lookup = lookup

    async def resolve(
        self, tenant: str, reference: ContactReference, on_unknown: OnUnknown
    ) -> KnownContact | UnknownContact:
        """Return the contact. With `create`, an unknown address gives an id that derives from it,
        so that each delivery with this address is about the same contact. An event without id and
        address is ignored, or dead with `dead`. Raises ServiceUnavailable."""
        if reference.id is not None:
            return KnownContact(reference.id)
        if reference.is_empty:
            reason = "the delivery names no contact: neither an id nor an address"
            return UnknownContact(reason, on_unknown == "dead")
        found = await self._lookup.find(tenant, reference)
        if found is not None:
            return KnownContact(found)
        if on_unknown == "create":
            return KnownContact(_derived(tenant, reference))
        kind = "e-mail address" if reference.email is not None else "phone number"
        return UnknownContact(f"no contact has this {kind}", on_unknown == "dead")


def _derived(tenant: str, reference: ContactReference) -> str:
    """The id of a contact that is known by an address only. It does not show the address."""
    if reference.email is not None:
        email = email_address(reference.email) or reference.email.strip()
        return str(derived_id(tenant, "email", email_key(email)))
    phone = reference.phone or ""
    number = phone_number(phone, reference.region)
    if number is not None:
        return str(derived_id(tenant, "phone", number))
    digits = "".join(filter(str.isdecimal, phone))
    return str(derived_id(tenant, "phone", reference.region or "", digits))
