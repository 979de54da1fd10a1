"""Merges (E21), in the transaction of their events: adds forwards, and transfers for the shards of
the contacts that continue. The rows themselves do not change."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import uuid4

from goald.adapters.postgres.shard.erasure import Tombstones
from goald.adapters.postgres.shard.merging.forwards import READ_KEY
from goald.domain.contacts.forwards import (
    ALREADY_MERGED,
    CYCLE,
    ENDLESS,
    Forward,
    forward_key,
    join_merges,
)
from goald.domain.errors import ContentRefused
from goald.domain.slots import SlotRange, slot_of
from goald.ports.change import ContactMerge, MergeOutcome

LOCK = """
SELECT pg_advisory_xact_lock(hashtext('goald.merges'), hashtext(n.tenant_id))
FROM unnest($1::text[]) AS n (tenant_id)
"""
"""One merge of a tenant at a time, so that two merges cannot make a cycle. Pass the tenants in
order, so that two transactions cannot wait for each other."""

TARGET = """
SELECT into_contact_id, merges FROM goald.forwards
WHERE tenant_id = $1 AND key = $2::text::uuid AND into_contact_id IS NOT NULL
"""

KNOWN = """
SELECT into_contact_id AS target, merges,
       $3::text::uuid = ANY (events) OR coalesce(goald.at($4) <= deleted_at, false) AS is_past
FROM goald.forwards WHERE tenant_id = $1 AND key = $2::text::uuid
"""
"""The forward of a merged contact, and whether the merge with the key $3 at $4 belongs to its life
before the contact that continued was deleted."""

DELETED_AT = """
SELECT goald.us(deleted_at) FROM goald.erasures WHERE mark = goald.contact_mark($1, $2)
"""
"""When a contact in any slot was deleted."""

MOST_EVENTS: Final = 100

ADD_FORWARD = f"""
INSERT INTO goald.forwards AS f
    (tenant_id, key, slot, into_contact_id, merged_at, deleted_at, mark, events, merges)
VALUES ($1, $2::text::uuid, $3, $4, goald.at($5), goald.at($6), goald.contact_mark($1, $7),
        ARRAY[$8::text::uuid], $9::int8[])
ON CONFLICT (tenant_id, key) DO UPDATE SET into_contact_id = excluded.into_contact_id,
    merged_at = excluded.merged_at, deleted_at = excluded.deleted_at, mark = excluded.mark,
    events = (f.events || excluded.events)[
        greatest(cardinality(f.events) + 2 - {MOST_EVENTS}, 1):],
    merges = excluded.merges, number = nextval('goald.forward_number')
"""
"""Execute it under LOCK, after KNOWN has returned no contact."""

ADD_TRANSFER = """
WITH described AS (
    DELETE FROM goald.contacts WHERE tenant_id = $2 AND contact_id = $3
    RETURNING email, email_key, phone, timezone, opted_in, attributes, tags, stages, stamps
)
INSERT INTO goald.transfers
    (id, tenant_id, contact_id, slot, into_contact_id, into_slot, merged_at, notified_at,
     merges, contact)
SELECT $1::text::uuid, $2, $3, $4, $5, $6, goald.at($7), goald.at($8), $9::int8[],
       (SELECT to_jsonb(d) FROM described d)
"""
"""Takes the projection of the merged contact with it."""

FOLLOW_FORWARDS = """
UPDATE goald.forwards SET into_contact_id = $3, merged_at = greatest(merged_at, goald.at($4)),
    deleted_at = goald.at($5), merges = goald.join_merges(merges, $6::int8[]),
    number = nextval('goald.forward_number')
WHERE tenant_id = $1 AND into_contact_id = $2
"""
"""Forwards to this contact continue to the next, so that they do not end when this contact is
deleted. Those of other shards change too. Execute it under LOCK."""

FOLLOW = """
UPDATE goald.transfers SET into_contact_id = $3, into_slot = $4,
    merges = goald.join_merges(merges, $5::int8[])
WHERE tenant_id = $1 AND into_contact_id = $2
"""
"""The enrollments that have not moved to this contact continue to the next."""


async def begin(
    connection: Any, merges: Sequence[ContactMerge], slots: SlotRange, tombstones: Tombstones
) -> list[MergeOutcome]:
    """Write the merges of a change, in the transaction of the caller, and return the outcome of
    each. A repeated merge changes nothing."""
    await connection.execute(LOCK, sorted({merge.tenant_id for merge in merges}))
    secret = await connection.fetchval(READ_KEY)
    deleted = await tombstones.of(connection, slots, [(m.tenant_id, m.contact_id) for m in merges])
    outcomes = []
    for merge in merges:
        tombstone = deleted.get((merge.tenant_id, merge.contact_id))
        time = min(merge.merged_at, merge.received_at)
        is_deleted = tombstone is not None and tombstone.covers(time)
        outcomes.append(await _begin(connection, merge, secret, is_deleted))
    return outcomes


async def _begin(
    connection: Any, merge: ContactMerge, secret: str, is_deleted: bool
) -> MergeOutcome:
    tenant, contact = merge.tenant_id, merge.contact_id
    key, time = forward_key(secret, tenant, contact), min(merge.merged_at, merge.received_at)
    known = await connection.fetchrow(KNOWN, tenant, key, merge.event, time)
    into = merge.into_contact_id
    target, merges = await follow(connection, secret, tenant, into, (merge.received_at,))
    if known is not None and known["target"] is not None:
        if await end_of(connection, secret, tenant, known["target"]) == target:
            return MergeOutcome(Forward(tenant, key, known["target"], tuple(known["merges"])))
        return MergeOutcome(refused=ALREADY_MERGED)
    if target == contact:
        return MergeOutcome(refused=CYCLE)
    if is_deleted or (known is not None and known["is_past"]):
        return MergeOutcome()  # the contact of a later life is another one
    deleted_at = await connection.fetchval(DELETED_AT, tenant, target)
    if deleted_at is None or deleted_at < time:
        forward, deleted_at = Forward(tenant, key, target, merges), None
    else:  # events in any order: the enrollments move and are cancelled, and the forward has ended
        forward = Forward(tenant, key, None, merges)
    of = tenant, key, merge.slot, forward.target, time, deleted_at, contact, merge.event, merges
    await connection.execute(ADD_FORWARD, *of)
    end = target, slot_of(tenant, target)
    await connection.execute(FOLLOW, tenant, contact, *end, merges)
    of_others = tenant, contact, forward.target, time, deleted_at, merges
    await connection.execute(FOLLOW_FORWARDS, *of_others)
    await connection.execute(
        ADD_TRANSFER, str(uuid4()), tenant, contact, merge.slot, *end, time, merge.received_at,
        merges,
    )  # fmt: skip
    return MergeOutcome(forward)


async def end_of(connection: Any, secret: str, tenant: str, contact: str) -> str:
    """The contact that continues this one: itself, if it was not merged. Raises ContentRefused if
    the stored forwards have no end."""
    return (await follow(connection, secret, tenant, contact, ()))[0]


async def follow(
    connection: Any, secret: str, tenant: str, contact: str, merges: tuple[int, ...]
) -> tuple[str, tuple[int, ...]]:
    """As `end_of`, with these merges and those that led there."""
    followed: set[str] = set()
    while contact not in followed:
        followed.add(contact)
        key = forward_key(secret, tenant, contact)
        forward = await connection.fetchrow(TARGET, tenant, key)
        if forward is None:
            return contact, merges
        contact, merges = forward[0], join_merges(merges, forward[1])
    raise ContentRefused(ENDLESS)
