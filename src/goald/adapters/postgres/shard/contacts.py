"""Writes the projection of contacts: reads the contacts of the change, merges what its events give,
and writes the rows, with one statement each. Only the holder of the lease writes them, so nothing
changes between the statements."""

from collections.abc import Sequence
from typing import Any

from goald.adapters.postgres.shard.erasure import Contact as Key
from goald.adapters.postgres.shard.erasure import Tombstones
from goald.domain.contacts.merging import Merge, StoredContact
from goald.domain.contacts.projection import Contact
from goald.domain.contacts.stored import ContactColumns, columns_of, contact_of
from goald.domain.slots import SlotRange
from goald.ports.change import Change

READ = """
SELECT n.tenant_id, n.contact_id, coalesce(s.tag_case_sensitive, false), c.slot,
       c.email, c.email_key, c.phone, c.timezone, c.opted_in, c.attributes::text, c.tags::text,
       c.stages::text, c.stamps::text
FROM unnest($1::text[], $2::text[]) AS n (tenant_id, contact_id)
LEFT JOIN goald.contacts c ON c.tenant_id = n.tenant_id AND c.contact_id = n.contact_id
LEFT JOIN goald.tenant_settings s ON s.tenant_id = n.tenant_id
"""
"""The projection of these contacts, in the slots of the transaction, and whether their tenants
distinguish names of tags by case. The slot is null for a contact that is not known."""

WRITE = """
INSERT INTO goald.contacts AS c
    (tenant_id, contact_id, slot, email, email_key, phone, timezone, opted_in, attributes, tags,
     stages, stamps)
SELECT n.tenant_id, n.contact_id, n.slot, n.email, n.email_key, n.phone, n.timezone, n.opted_in,
       n.attributes::jsonb, n.tags::jsonb, n.stages::jsonb, n.stamps::jsonb
FROM unnest($1::text[], $2::text[], $3::int2[], $4::text[], $5::text[], $6::text[], $7::text[],
            $8::bool[], $9::text[], $10::text[], $11::text[], $12::text[])
    AS n (tenant_id, contact_id, slot, email, email_key, phone, timezone, opted_in, attributes,
          tags, stages, stamps)
ON CONFLICT (tenant_id, contact_id) DO UPDATE SET
    email = excluded.email, email_key = excluded.email_key, phone = excluded.phone,
    timezone = excluded.timezone, opted_in = excluded.opted_in, attributes = excluded.attributes,
    tags = excluded.tags, stages = excluded.stages, stamps = excluded.stamps, updated_at = now()
"""
"""Replaces the rows of these contacts."""

DELETE = """
DELETE FROM goald.contacts c
USING unnest($1::text[], $2::text[]) AS n (tenant_id, contact_id)
WHERE c.tenant_id = n.tenant_id AND c.contact_id = n.contact_id
"""

KEEP = "SELECT goald.keep_contacts($1::text[])"
"""These tenants have a projection from now on. The last statement of a commit, because it may take
the lock of the configuration."""


async def read_contacts(
    connection: Any, contacts: Sequence[Key], slots: SlotRange, tombstones: Tombstones
) -> dict[Key, StoredContact]:
    """See `ShardStore.contacts`."""
    found, by_case = await _read(connection, contacts)
    deleted = await tombstones.of(connection, slots, contacts)
    return {
        key: StoredContact(
            found.get(key, Contact(by_case=key[0] in by_case)),
            deleted[key].deleted_at if key in deleted else None,
        )
        for key in contacts
    }


async def write_contacts(
    connection: Any, change: Change, slots: SlotRange, tombstones: Tombstones
) -> Sequence[str]:
    """Write what the events of a change give, in the transaction of the caller, and erase what the
    deletions cover. Returns the tenants that now have a projection; pass them to `keep` at the end
    of the transaction."""
    events, deletions = change.contact_events, change.deletions
    merge = Merge(*await _read(connection, [*dict.fromkeys(_keys(events) + _keys(deletions))]))
    deleted = await tombstones.of(connection, slots, _keys(events) + _keys(deletions))
    slot_of: dict[Key, int] = {}
    for row in events:
        key = (row.tenant_id, row.contact_id)
        tombstone = deleted.get(key)
        if tombstone is None or row.time > tombstone.deleted_at:
            merge.apply(key, row.event_type, row.source, row.data)
            slot_of[key] = row.slot
    latest: dict[Key, int] = {}
    for of in deletions:
        key = (of.tenant_id, of.contact_id)
        tombstone = deleted.get(key)
        if tombstone is None or of.deleted_at > tombstone.deleted_at:  # a repeat erases nothing
            slot_of.setdefault(key, of.slot)
            latest[key] = max(of.deleted_at, latest.get(key, of.deleted_at))
    merge.erase(latest)
    await _write(connection, merge, slot_of)
    return list(dict.fromkeys(row.tenant_id for row in events))


async def keep(connection: Any, tenants: Sequence[str]) -> None:
    """Record that these tenants have a projection. The last action of a transaction."""
    await connection.execute(KEEP, tenants)


def _keys(rows: Sequence[Any]) -> list[Key]:
    return [(row.tenant_id, row.contact_id) for row in rows]


async def _read(connection: Any, keys: Sequence[Key]) -> tuple[dict[Key, Contact], set[str]]:
    """The known contacts of these, and the tenants that distinguish names of tags by case."""
    tenants, contacts = zip(*keys, strict=True)
    found, by_case_tenants = {}, set()
    for tenant, id_, by_case, slot, *row in await connection.fetch(READ, tenants, contacts):
        if by_case:
            by_case_tenants.add(tenant)
        if slot is not None:
            found[tenant, id_] = contact_of(ContactColumns(*row))
            found[tenant, id_].compare_tags(by_case=by_case)
    return found, by_case_tenants


async def _write(connection: Any, merge: Merge, slot_of: dict[Key, int]) -> None:
    written = sorted(merge.written)
    if written:
        rows = [columns_of(merge.contacts[key]) for key in written]
        await connection.execute(
            WRITE,
            [tenant for tenant, _ in written],
            [contact for _, contact in written],
            [slot_of[key] for key in written],
            *(list(column) for column in zip(*rows, strict=True)),
        )
    if merge.deleted:
        tenants, contacts = zip(*sorted(merge.deleted), strict=True)
        await connection.execute(DELETE, tenants, contacts)
