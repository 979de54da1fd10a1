"""`goald contacts`: what a person and a program see of contacts."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.pipeline.changes import NOON, change
from tests.support.services.commands import Ran
from tests.support.services.servers import Database

from goald.adapters.postgres import PostgresShardStore
from goald.domain.slots import SlotRange
from goald.ports.change import ContactEvent


@pytest.fixture
async def contacts(database: Database, streams: object) -> None:
    store = PostgresShardStore(database.dsn)
    lease = await store.acquire(SlotRange(0, 255), "test")
    described = {"email": "Ada@Example.com", "phone": "+491701234567", "attributes": {"a": 1}}
    given: list[tuple[str, str, str, dict[str, Any]]] = [
        ("acme", "ada", "contact.updated", described),
        ("acme", "ada", "contact.tag.added", {"tag_name": "VIP\x1b[31m"}),
        ("acme", "bob", "contact.updated", {"email": "bob@example.com"}),
        ("globex", "eve", "contact.updated", {"email": "ada@example.com"}),
    ]
    events = [
        ContactEvent(tenant, contact, 3, kind, f"key-{n}", NOON, json.dumps(data))
        for n, (tenant, contact, kind, data) in enumerate(given)
    ]
    await store.commit(lease, change(contact_events=events))
    await store.close()


@pytest.mark.usefixtures("contacts")
def test_contact_is_shown_and_found_by_its_addresses(run: Callable[..., Ran]) -> None:
    printed = run("contacts", "show", "ada", "--tenant", "acme", "--json")
    assert printed.code == 0, printed.err
    contact = json.loads(printed.out)
    assert (contact["email"], contact["attributes"]) == ("Ada@example.com", {"a": 1})
    text = run("contacts", "show", "ada", "--tenant", "acme").out
    assert "+491701234567" in text
    assert "\x1b" not in text
    for filters in (["--email", "ADA@example.com"], ["--phone", "0170 1234567", "--region", "DE"]):
        found = run("contacts", "list", "--tenant", "acme", *filters, "--json")
        assert [row["contact_id"] for row in json.loads(found.out)] == ["ada"]
    listed = run("contacts", "list", "--tenant", "acme", "--limit", "1")
    assert "ada" in listed.out
    assert "bob" not in listed.out
    assert "--limit" in listed.out


@pytest.mark.usefixtures("contacts")
def test_unknown_contact_and_unreadable_number_fail(run: Callable[..., Ran]) -> None:
    assert run("contacts", "show", "eve", "--tenant", "acme").code == 1
    refused = run("contacts", "list", "--tenant", "acme", "--phone", "0170 1234567")
    assert refused.code == 2
    assert "--region" in refused.err
