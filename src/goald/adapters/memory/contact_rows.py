"""The projection of contacts, over the tables in memory."""

from collections.abc import Sequence

from goald.adapters.memory.database import MemoryDatabase
from goald.domain.contacts.addresses import email_key, phone_number
from goald.domain.contacts.merging import ContactKey, Merge, StoredContact
from goald.domain.contacts.projection import Contact
from goald.domain.contacts.stored import columns_of, contact_of
from goald.ports.change import Change
from goald.sources.mapping.results import ContactReference


def write_contacts(tables: MemoryDatabase, change: Change) -> Sequence[str]:
    """Write what the events of a change give, and erase what its deletions cover. Returns the
    tenants that have a projection because of it. Call it before the deletions are recorded."""
    by_case = tables.case_sensitive_tenants
    merge = Merge({key: _contact(tables, key) for key in tables.contacts}, by_case)
    for row in change.contact_events:
        key = (row.tenant_id, row.contact_id)
        tombstone = tables.deleted.get(key)
        if tombstone is None or row.time > tombstone.deleted_at:
            merge.apply(key, row.event_type, row.source, row.data)
    latest: dict[ContactKey, int] = {}
    for of in change.deletions:
        key = (of.tenant_id, of.contact_id)
        tombstone = tables.deleted.get(key)
        if tombstone is None or of.deleted_at > tombstone.deleted_at:  # a repeat erases nothing
            latest[key] = max(of.deleted_at, latest.get(key, of.deleted_at))
    merge.erase(latest)
    tables.contacts.update({key: columns_of(merge.contacts[key]) for key in merge.written})
    for key in merge.deleted:
        tables.contacts.pop(key, None)
    keeps = [row.tenant_id for row in change.contact_events]
    for tenant in keeps:
        tables.contact_tenants.setdefault(tenant, tables.next_version())
    return list(dict.fromkeys(keeps))


def read_contacts(
    tables: MemoryDatabase, contacts: Sequence[ContactKey]
) -> dict[ContactKey, StoredContact]:
    """See `ShardStore.contacts`."""
    found = {}
    for key in contacts:
        tombstone = tables.deleted.get(key)
        found[key] = StoredContact(
            _contact(tables, key), None if tombstone is None else tombstone.deleted_at
        )
    return found


def _contact(tables: MemoryDatabase, key: ContactKey) -> Contact:
    row = tables.contacts.get(key)
    contact = Contact() if row is None else contact_of(row)
    contact.compare_tags(by_case=key[0] in tables.case_sensitive_tenants)
    return contact


class MemoryContactLookup:
    """`ports.sources.ContactLookup`."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._tables = database

    async def find(self, tenant: str, reference: ContactReference) -> str | None:
        email = None if reference.email is None else email_key(reference.email)
        phone = None if reference.phone is None else phone_number(reference.phone, reference.region)
        rows = [(id_, row) for (of, id_), row in self._tables.contacts.items() if of == tenant]
        found = [id_ for id_, row in rows if email is not None and row.email_key == email]
        if not found:
            found = [id_ for id_, row in rows if phone is not None and row.phone == phone]
        return found[0] if len(found) == 1 else None
