"""The contract of `ContactLookup`: a delivery finds the only contact with its address."""

import json
from typing import Any

import pytest
from tests.contract.store_backends import Tables
from tests.support.pipeline.changes import NOON, change

from goald.domain.slots import SlotRange
from goald.ports.change import ContactEvent
from goald.ports.shard_store import ShardStore
from goald.sources.mapping.results import ContactReference

GIVEN: list[tuple[str, str, dict[str, Any]]] = [
    ("acme", "C/1", {"email": "Ada@Example.com", "phone": "+491701234567"}),
    ("acme", "c-2", {"phone": "+49 170 1234567"}),
    ("globex", "c-3", {"email": "eve@example.com"}),
    ("acme", "c-4", {"phone": "+491701234568"}),
    ("acme", "c-5", {"email": "two@example.com"}),
    ("acme", "c-6", {"email": "TWO@example.com"}),
]


@pytest.mark.parametrize(
    ("tenant", "reference", "contact"),
    [
        ("acme", ContactReference(email="ADA@example.COM"), "C/1"),
        ("acme", ContactReference(email="ADA@example.com", phone="+491701234568"), "C/1"),
        (
            "acme",
            ContactReference(email="bob@example.com", phone="0170/1234568", region="DE"),
            "c-4",
        ),
        ("acme", ContactReference(phone="0170-1234567", region="DE"), None),
        ("acme", ContactReference(email="two@example.com", phone="+491701234568"), None),
        ("acme", ContactReference(email="eve@example.com"), None),
        ("globex", ContactReference(email="eve@example.com"), "c-3"),
        ("acme", ContactReference(phone="0170 1234568"), None),
        ("acme", ContactReference(phone="call me"), None),
    ],
)
async def test_only_contact_with_the_address_is_found(
    tables: Tables,
    store: ShardStore,
    tenant: str,
    reference: ContactReference,
    contact: str | None,
) -> None:
    lease = await store.acquire(SlotRange(0, 255), "a")
    events = [
        ContactEvent(of, id_, 3, "contact.updated", f"key-{id_}", NOON, json.dumps(data))
        for of, id_, data in GIVEN
    ]
    await store.commit(lease, change(contact_events=events))

    assert await tables.contact_lookup().find(tenant, reference) == contact
