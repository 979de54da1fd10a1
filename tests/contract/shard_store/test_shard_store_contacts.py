"""The contract of `ShardStore` for the projection of contacts, in memory and in Postgres."""

import json
from typing import Any
from uuid import NAMESPACE_DNS, uuid5

import pytest
from tests.contract.store_backends import Tables
from tests.support.pipeline.changes import NOON, SECOND, change

from goald.domain.contacts.merging import StoredContact
from goald.domain.contacts.projection import Contact
from goald.domain.contacts.stored import contact_of
from goald.domain.contacts.tags import Tag
from goald.domain.errors import LeaseLost
from goald.domain.slots import SlotRange
from goald.ports.change import ContactEvent
from goald.ports.shard_store import ShardStore

ALL = SlotRange(0, 255)
UPDATED, ADDED, REMOVED = "contact.updated", "contact.tag.added", "contact.tag.removed"
STAGE = "pipeline.stage.changed"


def event(
    kind: str, at: int = 0, *, contact: str = "ann", tenant: str = "acme", **data: Any
) -> ContactEvent:
    """An event of a contact, `at` seconds after noon."""
    text = json.dumps(data)
    key = str(uuid5(NAMESPACE_DNS, f"{kind} {at} {text}"))
    return ContactEvent(tenant, contact, 3, kind, key, NOON + at * SECOND, text)


async def projected(tables: Tables, contact: str = "ann") -> Contact | None:
    row = (await tables.contacts()).get(contact)
    return None if row is None else contact_of(row)


async def known(tables: Tables, contact: str = "ann") -> Contact:
    found = await projected(tables, contact)
    assert found is not None, "the contact is unknown"
    return found


async def test_what_events_give_is_kept_over_commits(tables: Tables, store: ShardStore) -> None:
    lease = await store.acquire(ALL, "a")
    first = [
        event(
            UPDATED, email="Ada@Example.COM", timezone="Europe/Berlin", attributes={"plan": "pro"}
        ),
        event(ADDED, 1, tag_name="VIP"),
    ]
    await store.commit(lease, change(contact_events=first))
    second = [
        event(UPDATED, 2, phone="+49 170 1234567", opted_in=True, attributes={"age": 36}),
        event(STAGE, 3, pipeline_id="sales", stage_id="won"),
        event(ADDED, 3, tags=["vip ", {"tag_id": "t-1", "tag_name": "New"}]),
    ]
    await store.commit(lease, change(contact_events=second))

    contact = await known(tables)

    assert (contact.email, contact.phone) == ("Ada@example.com", "+491701234567")
    assert (contact.timezone, contact.opted_in) == ("Europe/Berlin", True)
    assert contact.attributes == {"plan": "pro", "age": 36}
    added, listed = first[1].event, second[2].event
    assert contact.tags == [Tag(None, "vip", added[:12]), Tag("t-1", "New", listed[:12])]
    assert contact.stages == {"sales": "won"}
    assert (await tables.contacts())["ann"].email_key == "ada@example.com"


async def test_late_and_repeated_events_change_nothing(tables: Tables, store: ShardStore) -> None:
    lease = await store.acquire(ALL, "a")
    events = [
        event(UPDATED, 5, email="new@example.com"),
        event(UPDATED, 5, email="newer@example.com"),
        event(REMOVED, 5, tag_name="VIP"),
    ]
    await store.commit(lease, change(contact_events=events))
    late = [event(UPDATED, 1, email="old@example.com", phone="+491701234567")]
    await store.commit(lease, change(contact_events=[*late, event(ADDED, 1, tag_name="vip")]))
    await store.commit(lease, change(contact_events=[events[0]]))

    contact = await known(tables)

    assert (contact.email, contact.phone) == ("newer@example.com", "+491701234567")
    assert contact.tags == []


async def test_deleted_contact_leaves_no_row_in_any_order(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    deletion = ("acme", "ann", 3, NOON + 2 * SECOND)
    given = event(UPDATED, 1, email="ada@example.com")
    await store.commit(lease, change(contact_events=[given]))
    await store.commit(lease, change(deletions=[deletion]))
    assert await tables.contacts() == {}
    late = event(UPDATED, 2, email="late@example.com")
    await store.commit(lease, change(contact_events=[late]))
    assert await tables.contacts() == {}
    again = event(UPDATED, 3, phone="+491701234567")
    await store.commit(lease, change(contact_events=[given, again], deletions=[deletion]))

    contact = await known(tables)

    assert (contact.email, contact.phone) == (None, "+491701234567")
    assert "example" not in repr(await tables.contacts())


async def test_contacts_of_tenants_and_of_each_other_are_separate(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    events = [event(UPDATED, email="ann@example.com"), event(UPDATED, contact="bob", opted_in=True)]
    other = event(UPDATED, tenant="globex", contact="eve", email="eve@example.com")
    await store.commit(lease, change(contact_events=[*events, other]))
    await store.commit(lease, change(deletions=[("globex", "ann", 3, NOON + SECOND)]))

    assert (await known(tables)).email == "ann@example.com"
    assert (await known(tables, "bob")).email is None
    assert set(await tables.contacts()) == {"ann", "bob", "eve"}


async def test_tenant_has_a_projection_since_its_first_recorded_event(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    before = await store.configuration(0)
    assert before.keeps_contacts == ()
    described = change(contact_events=[event(ADDED, tags=["VIP"])])
    assert (await store.commit(lease, described)).keeps_contacts == ["acme"]
    await store.commit(lease, described)

    after = await store.configuration(before.version)

    assert after.keeps_contacts == ("acme",)
    assert after.version > before.version
    assert (await store.configuration(0)).keeps_contacts == ("acme",)
    assert (await store.configuration(after.version)).keeps_contacts == ()


@pytest.mark.parametrize("data", [{}, {"email": 5, "attributes": [], "tags": {}}])
async def test_event_that_gives_nothing_describes_a_contact(
    tables: Tables, store: ShardStore, data: dict[str, Any]
) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(contact_events=[event(UPDATED, **data)]))

    assert await known(tables) == Contact(stamps=(await known(tables)).stamps)


async def test_shard_reads_what_its_contacts_had_before(store: ShardStore) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(contact_events=[event(ADDED, 1, tag_name="VIP")]))
    await store.commit(lease, change(deletions=[("acme", "bob", 3, NOON)]))
    keys = [("acme", "ann"), ("acme", "bob"), ("globex", "ann")]

    found = await store.contacts(lease, keys)

    assert list(found) == keys
    assert [tag.name for tag in found["acme", "ann"].contact.tags] == ["VIP"]
    assert found["acme", "ann"].deleted_at is None
    assert found["acme", "bob"] == StoredContact(Contact(), NOON)
    assert found["globex", "ann"] == StoredContact(Contact(), None)


async def test_only_the_holder_of_the_lease_reads_contacts(store: ShardStore) -> None:
    lost = await store.acquire(ALL, "a")
    await store.acquire(ALL, "b")
    with pytest.raises(LeaseLost):
        await store.contacts(lost, [("acme", "ann")])


async def test_tags_of_a_tenant_that_distinguishes_case_are_kept_by_case(
    tables: Tables, store: ShardStore
) -> None:
    await tables.distinguish_tags("acme", True)
    lease = await store.acquire(ALL, "a")
    added = [event(ADDED, 1, contact=name, tags=["VIP", "vip"]) for name in ("ann", "bob")]
    await store.commit(lease, change(contact_events=added))
    await store.commit(lease, change(contact_events=[event(REMOVED, 2, tag_name="VIP")]))

    found = await store.contacts(lease, [("acme", "ann"), ("acme", "bob"), ("acme", "new")])

    names = [[tag.name for tag in stored.contact.tags] for stored in found.values()]
    assert names == [["vip"], ["VIP", "vip"], []]
    assert [stored.contact.by_case for stored in found.values()] == [True] * 3

    await tables.distinguish_tags("acme", False)
    found = await store.contacts(lease, [("acme", "bob")])
    assert len(found["acme", "bob"].contact.tags) == 1
    assert len((await known(tables, "bob")).tags) == 2, "reading changes nothing"
    removed = event(REMOVED, 3, contact="bob", tag_name="Vip")
    await store.commit(lease, change(contact_events=[removed]))
    assert (await known(tables, "bob")).tags == []
