"""Contacts over HTTP: what events said, look-up by address, and changes that become events."""

import asyncio
import json
from typing import Any
from uuid import NAMESPACE_DNS, uuid5

import httpx
import msgpack
import pytest
import redis
from tests.support.api.client import Api
from tests.support.pipeline.changes import NOON, change
from tests.support.services.servers import Database

from goald import _native
from goald.adapters.postgres import PostgresShardStore
from goald.domain.slots import SlotRange
from goald.ports.change import Change, ContactEvent
from goald.redis_keys import event_stream

PATH = "/api/v1/contacts"


@pytest.fixture
def client(api: Api) -> httpx.Client:
    return api.client("acme", "contacts:read", "contacts:edit")


class Projection:
    """Writes what events give, as a shard does."""

    def __init__(self, database: Database) -> None:
        self._dsn = database.dsn

    def give(self, contact: str, *, tenant: str = "acme", **data: Any) -> None:
        text = json.dumps(data)
        key = str(uuid5(NAMESPACE_DNS, text))
        event = ContactEvent(tenant, contact, 3, "contact.updated", key, NOON, text)
        asyncio.run(self._commit(change(contact_events=[event])))

    async def _commit(self, given: Change) -> None:
        store = PostgresShardStore(self._dsn)
        lease = await store.acquire(SlotRange(0, 255), "tests")
        await store.commit(lease, given)
        await store.close()


@pytest.fixture
def projection(database: Database) -> Projection:
    return Projection(database)


def published(url: str) -> list[dict[str, Any]]:
    """The events on the streams."""
    with redis.Redis.from_url(url) as client:
        entries = [row for n in range(4) for row in client.xrange(event_stream(n))]
    events = [fields[b"event"] for _, fields in entries]
    return [json.loads(e) if e.startswith(b"{") else msgpack.unpackb(e) for e in events]


def test_contact_has_all_fields(client: httpx.Client, projection: Projection) -> None:
    projection.give(
        "A/1", email="Ada@Example.com", phone="+49 170 1234567", attributes={"plan": "pro"}
    )

    answer = client.get(f"{PATH}/A%2F1")

    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found.pop("updated_at").endswith("Z")
    assert found == {
        "contact_id": "A/1",
        "email": "Ada@example.com",
        "phone": "+491701234567",
        "timezone": None,
        "opted_in": None,
        "attributes": {"plan": "pro"},
        "tags": [],
        "stages": [],
    }
    assert client.get(f"{PATH}/a%2F1").status_code == 404, "ids are exact"


def test_contacts_are_found_by_address_in_any_spelling(
    client: httpx.Client, projection: Projection
) -> None:
    projection.give("c-1", email="Ada@Example.com")
    projection.give("c-2", email="ada@example.COM", phone="+49 170 1234567")
    projection.give("c-3", tenant="globex", email="ada@example.com")

    def ids(**query: str) -> list[str]:
        answer = client.get(PATH, params=query)
        assert answer.status_code == 200, answer.text
        return [row["contact_id"] for row in answer.json()["items"]]

    assert ids(email="ADA@example.com") == ["c-1", "c-2"]
    assert ids(phone="0170/1234567", region="DE") == ["c-2"]
    assert ids(email="ada@example.com", phone="+491701234567") == ["c-2"]
    assert ids(email="bob@example.com") == []
    for query in ({"email": "ada"}, {"phone": "0170 1234567"}, {"phone": "x", "region": "DE"}):
        assert client.get(PATH, params=query).status_code == 400


def test_list_has_each_contact_once(client: httpx.Client, projection: Projection) -> None:
    names = [f"c-{n}" for n in range(5)]
    for name in names:
        projection.give(name)
    found: list[str] = []
    params = {"limit": "2"}
    while True:
        page = client.get(PATH, params=params).json()
        found += [row["contact_id"] for row in page["items"]]
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]

    assert found == names
    other = {**params, "email": "ada@example.com"}
    assert client.get(PATH, params=other).status_code == 400, "the cursor is of another list"


@pytest.mark.parametrize(("method", "replace"), [("PUT", True), ("PATCH", None)])
def test_change_becomes_one_event(
    client: httpx.Client, redis_url: str, method: str, replace: bool | None
) -> None:
    body = {"email": "Ada@example.com", "phone": "0170 1234567", "region": "DE", "opted_in": None}

    answer = client.request(method, f"{PATH}/c-1", json=body)

    assert answer.status_code == 202, answer.text
    (event,) = published(redis_url)
    assert (event["type"], event["id"]) == ("contact.updated", answer.json()["event_id"])
    data = {"contact_id": "c-1", **body}
    assert event["data"] == (data if replace is None else {**data, "replace": replace})
    read = _native.intake(json.dumps(event).encode(), "acme", 2 * NOON)
    assert read.rejected == []


def test_deletion_becomes_one_event(client: httpx.Client, redis_url: str) -> None:
    answer = client.delete(f"{PATH}/c-1")

    assert answer.status_code == 202, answer.text
    (event,) = published(redis_url)
    assert (event["type"], event["data"]) == ("contact.deleted", {"contact_id": "c-1"})


@pytest.mark.parametrize(
    "body",
    [
        {"email": "ada"},
        {"phone": "0170 1234567"},
        {"phone": "+49 170 1234567", "region": "Germany"},
        {"timezone": "Berlin"},
        {"opted_in": "yes"},
        {"attributes": {"": 1}},
        {"attributes": {"a\nb": 1}},
        {"attributes": {"a": "x" * 1000, "b": ["y" * 1000] * 3}},
        {"attributes": {"a": 1e300, "b": 10**20}},
        {"tags": ["VIP"]},
        {"contact_id": "c-2"},
    ],
)
def test_value_that_would_be_lost_is_refused(
    client: httpx.Client, redis_url: str, body: dict[str, Any]
) -> None:
    answer = client.put(f"{PATH}/c-1", json=body)

    assert answer.status_code == 400, answer.text
    assert published(redis_url) == []


@pytest.mark.parametrize("kind", ["contact.updated", "contact.deleted", "contact\\u002eupdated"])
def test_events_about_contacts_need_their_scope(api: Api, redis_url: str, kind: str) -> None:
    event = (
        f'{{"id": "1", "source": "s", "time": "2026-01-01T00:00:00Z", "type": "{kind}",'
        ' "data": {"contact_id": "c-1"}}'
    )
    headers = {"content-type": "application/json"}
    refused = api.client("acme", "events:write").post(
        "/api/v1/events", content=event, headers=headers
    )
    assert refused.status_code == 400
    assert "contacts:edit" in refused.json()["refused"][0]["reason"]
    assert published(redis_url) == []
    accepted = api.client("acme", "events:write", "contacts:edit").post(
        "/api/v1/events", content=event, headers=headers
    )
    assert accepted.status_code == 202, accepted.text
