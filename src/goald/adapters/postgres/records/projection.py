"""The projection of contacts, as their tenant reads it, and the look-up by address."""

from collections.abc import Mapping
from typing import Any

from goald.adapters.postgres.records.forwards import continuing
from goald.adapters.postgres.tenants import TenantPool
from goald.domain.contacts.addresses import email_key, phone_number
from goald.domain.contacts.projection import Contact
from goald.domain.contacts.record import ContactRecord
from goald.domain.contacts.stored import ContactColumns, contact_of
from goald.domain.records.pages import Page, PageRequest
from goald.sources.mapping.results import ContactReference

_CONTACT = """
SELECT contact_id, goald.us(updated_at), email, email_key, phone, timezone, opted_in,
       attributes::text, tags::text, stages::text, stamps::text
FROM goald.contacts
"""

CONTACT = _CONTACT + "WHERE tenant_id = $1 AND contact_id = $2"
"""One contact of the tenant."""

BY_CASE = "SELECT tag_case_sensitive FROM goald.tenant_settings WHERE tenant_id = $1"
"""Whether the tenant distinguishes names of tags by case; no row if it never changed a setting."""

_NEXT = " AND contact_id > $2 ORDER BY contact_id LIMIT $3"

CONTACTS = _CONTACT + "WHERE tenant_id = $1" + _NEXT
"""The contacts that follow $2, ordered by id."""

_FOUND = f"""
WITH found AS MATERIALIZED (
    SELECT contact_id AS id FROM goald.contacts WHERE tenant_id = $1 AND {{address}}
)
{_CONTACT} JOIN found ON found.id = contact_id
WHERE tenant_id = $1 {_NEXT}
"""
WITH_EMAIL = _FOUND.format(address="email_key = $4")
WITH_PHONE = _FOUND.format(address="phone = $4")
WITH_BOTH = _FOUND.format(address="email_key = $4 AND phone = $5")
"""As CONTACTS, of those with an address. The address is looked up first: without statistics about
addresses, the planner expects many contacts, and would read all of them in the order of their
ids."""

_IDS = """
WITH found AS MATERIALIZED (
    SELECT contact_id FROM goald.contacts WHERE tenant_id = $1 AND {address}
) SELECT contact_id FROM found LIMIT 2
"""
IDS_WITH_EMAIL = _IDS.format(address="email_key = $2")
IDS_WITH_PHONE = _IDS.format(address="phone = $2")
"""Two rows are enough to know that several contacts have the address."""


class PostgresContactStore:
    """`api.ports.ContactStore` and `ports.sources.ContactLookup`. Each call executes in a separate
    transaction."""

    def __init__(self, pool: TenantPool) -> None:
        self._pool = pool

    async def get(self, tenant: str, contact_id: str) -> ContactRecord | None:
        async with self._pool.tenant(tenant, readonly=True) as connection:
            row = await connection.fetchrow(CONTACT, tenant, contact_id)
            if row is None:
                other = await continuing(connection, tenant, contact_id)
                row = await connection.fetchrow(CONTACT, tenant, other)
        return None if row is None else _record(row)

    async def projection(self, tenant: str, contact_id: str) -> Contact | None:
        """Return what events gave a contact, with the events that gave it."""
        async with self._pool.tenant(tenant, readonly=True) as connection:
            row = await connection.fetchrow(CONTACT, tenant, contact_id)
            by_case = await connection.fetchval(BY_CASE, tenant)
        if row is None:
            return None
        contact = contact_of(ContactColumns(*row[2:]))
        contact.compare_tags(by_case=by_case is True)
        return contact

    async def page(
        self, tenant: str, filters: Mapping[str, str | None], span: PageRequest
    ) -> Page[ContactRecord]:
        after = "" if span.after is None else str(span.after[0])
        if (contact_id := filters.get("contact_id")) is not None:
            contact = await self.get(tenant, contact_id)
            return Page([] if contact is None else [contact], None)
        email, phone = filters.get("email"), filters.get("phone")
        values = [] if email is None else [email_key(email)]
        values += [] if phone is None else [phone]
        statement = {
            (False, False): CONTACTS,
            (True, False): WITH_EMAIL,
            (False, True): WITH_PHONE,
            (True, True): WITH_BOTH,
        }[email is not None, phone is not None]
        async with self._pool.tenant(tenant, readonly=True) as connection:
            found = await connection.fetch(statement, tenant, after, span.limit + 1, *values)
        rows = [_record(row) for row in found[: span.limit]]
        return Page(rows, (rows[-1].contact_id,) if len(found) > span.limit else None)

    async def find(self, tenant: str, reference: ContactReference) -> str | None:
        # The number counts only if no contact has the address.
        phone = None if reference.phone is None else phone_number(reference.phone, reference.region)
        lookups = [] if reference.email is None else [(IDS_WITH_EMAIL, email_key(reference.email))]
        lookups += [] if phone is None else [(IDS_WITH_PHONE, phone)]
        async with self._pool.tenant(tenant, readonly=True) as connection:
            for statement, value in lookups:
                found = await connection.fetch(statement, tenant, value)
                if found:
                    return None if len(found) > 1 else str(found[0][0])
        return None


def _record(row: Any) -> ContactRecord:
    contact_id, updated_at, *columns = row
    return ContactRecord.of(contact_id, contact_of(ContactColumns(*columns)), updated_at)
