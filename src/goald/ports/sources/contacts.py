"""The look-up of contacts by their addresses."""

from typing import Protocol

from goald.sources.mapping.results import ContactReference


class ContactLookup(Protocol):
    async def find(self, tenant: str, reference: ContactReference) -> str | None:
        """Return the id of the tenant's contact with this e-mail address or phone number; None if
        no contact has it, or several have. The reference has no id. Raises ServiceUnavailable."""
