"""A webhook sends only the types and sources that it was given, and a tenant has few webhooks."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
import redis
from tests.support.api.client import Api
from tests.support.api.webhooks import PATH, SECRET, event, send, signed
from tests.support.services.servers import Database

from goald.api.auth.signatures import parse_secret
from goald.domain.credentials.webhooks import DEFAULT_TYPES, MAX_WEBHOOKS
from goald.domain.event_types import PROCESSED_TYPES


def published(redis_url: str) -> list[dict[str, Any]]:
    with redis.Redis.from_url(redis_url) as client:
        return [
            json.loads(fields[b"event"])
            for stream in client.scan_iter("goald:events:*")
            for _, fields in client.xrange(stream)
        ]


def refused_by_attribute(api: Api) -> dict[str, float]:
    lines = api.anonymous().get("/metrics").text.splitlines()
    name = 'goald_webhook_events_refused_total{attribute="'
    found = [line.removeprefix(name).split('"} ') for line in lines if line.startswith(name)]
    return {attribute: float(value) for attribute, value in found}


def test_webhook_sends_the_types_of_goals_from_any_source_by_default(
    api: Api, redis_url: str
) -> None:
    created = api.client("acme", "workflows:edit").put(f"{PATH}/stripe").json()

    assert (created["types"], created["sources"]) == (list(DEFAULT_TYPES), None)
    for number, event_type in enumerate(DEFAULT_TYPES):
        body = event(type=event_type, source=f"/source-{number}")
        assert send(api, body, signed(created["secret"], body)).status_code == 202
    assert sorted(each["type"] for each in published(redis_url)) == list(DEFAULT_TYPES)


def test_events_of_any_other_type_are_refused_and_not_published(api: Api, redis_url: str) -> None:
    secret = api.client("acme", "workflows:edit").put(f"{PATH}/stripe").json()["secret"]
    others = sorted(PROCESSED_TYPES - set(DEFAULT_TYPES))
    data = {"contact_id": "ann", "workflow_id": "w-1", "enrollment_id": "e-1",
            "reason": "exited", "cancelled_actions": 3, "into_contact_id": "bea"}  # fmt: skip
    assert {"contact.deleted", "workflow.enrollment.ended", "workflow.exit.acknowledged"} <= set(
        others
    )
    for event_type in others:
        body = event(type=event_type, data=data)

        answer = send(api, body, signed(secret, body))

        assert answer.status_code == 400
        assert answer.json()["detail"] == f"type: this webhook may not send '{event_type}'"
    assert published(redis_url) == []
    assert refused_by_attribute(api) == {"type": len(others)}


def test_events_are_refused_individually(api: Api, redis_url: str) -> None:
    grant = {"types": ["payment.completed", "contact.deleted"], "sources": ["/shop"]}
    client = api.client("acme", "workflows:edit")
    secret = client.put(f"{PATH}/stripe", json=grant).json()["secret"]
    rows = [
        ("payment.completed", "/shop"),
        ("payment.completed", "/Shop"),
        ("form.submitted", "/shop"),
        ("contact.deleted", "/shop"),
    ]
    body = json.dumps(
        [
            json.loads(event(id=f"evt-{number}", type=event_type, source=source))
            for number, (event_type, source) in enumerate(rows)
        ]
    ).encode()

    answer = send(api, body, signed(secret, body)).json()

    assert answer["accepted"] == 2
    assert [(row["index"], row["id"], row["reason"]) for row in answer["refused"]] == [
        (1, "evt-1", "source: this webhook may not send '/Shop'"),
        (2, "evt-2", "type: this webhook may not send 'form.submitted'"),
    ]
    assert sorted(each["id"] for each in published(redis_url)) == ["evt-0", "evt-3"]
    assert refused_by_attribute(api) == {"type": 1, "source": 1}


def test_list_shows_what_each_provider_may_send(api: Api) -> None:
    client = api.client("acme", "workflows:edit")
    grant = {"types": ["form.submitted", "contact.tag.added"], "sources": ["/b", "/a"]}
    created = client.put(f"{PATH}/forms", json=grant).json()
    expected = {"types": ["contact.tag.added", "form.submitted"], "sources": ["/a", "/b"]}

    assert {name: created[name] for name in expected} == expected
    (item,) = client.get(PATH).json()["items"]
    assert {name: item[name] for name in expected} == expected

    client.put(f"{PATH}/forms")
    (item,) = client.get(PATH).json()["items"]
    assert (item["types"], item["sources"]) == (list(DEFAULT_TYPES), None)


@pytest.mark.parametrize(
    "grant",
    [
        {"types": []},
        {"sources": []},
        {"types": [""]},
        {"types": "payment.completed"},
        {"types": ["x"] * 65},
        {"sources": ["/s"] * 65},
        {"sources": ["a\x00b"]},
        {"sources": ["\ud800"]},
        {"sources": ["x" * 1025]},
        {"sources": [1]},
    ],
)
def test_invalid_grants_are_refused(api: Api, grant: dict[str, Any]) -> None:
    client = api.client("acme", "workflows:edit")

    headers = {"content-type": "application/json"}
    answer = client.put(f"{PATH}/stripe", content=json.dumps(grant), headers=headers)

    assert answer.status_code == 400
    assert client.get(PATH).json() == {"items": []}


def test_misspelt_type_is_refused_with_a_suggestion(api: Api) -> None:
    client = api.client("acme", "workflows:edit")

    answer = client.put(f"{PATH}/stripe", json={"types": ["payment.complete"]})

    assert answer.status_code == 400
    assert "Did you mean payment.completed?" in answer.json()["detail"]


def test_webhook_of_the_previous_release_has_the_default_grant(
    api: Api, database: Database
) -> None:
    with psycopg.connect(database.dsn) as connection:
        connection.execute("SET ROLE goald_api")
        connection.execute("SELECT set_config('goald.tenant', 'acme', true)")
        connection.execute(
            "INSERT INTO goald.webhook_secrets (tenant_id, provider, secret)"
            " VALUES ('acme', 'stripe', %s)",
            (parse_secret(SECRET),),
        )
    deleted = event(type="contact.deleted")

    assert send(api, event(), signed(SECRET, event())).status_code == 202
    assert send(api, deleted, signed(SECRET, deleted)).status_code == 400
    (item,) = api.client("acme", "workflows:edit").get(PATH).json()["items"]
    assert (item["types"], item["sources"]) == (list(DEFAULT_TYPES), None)


def test_a_tenant_may_have_a_limited_number_of_webhooks(
    api: Api, database: Database, other_tenant: str
) -> None:
    with psycopg.connect(database.admin_dsn) as tables:
        tables.execute(
            "INSERT INTO goald.webhook_secrets (tenant_id, provider, secret, created_by)"
            " SELECT 'acme', 'provider-' || n, sha256('x'), 'test' FROM generate_series(4, %s) n",
            (MAX_WEBHOOKS,),
        )
    client = api.client("acme")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: client.put(f"{PATH}/new-{n}"), range(8)))

    assert sorted(each.status_code for each in answers) == [201] * 3 + [409] * 5
    refused = next(each for each in answers if each.status_code == 409)
    assert "A tenant may have 100 webhooks" in refused.json()["detail"]
    assert client.put(f"{PATH}/provider-4").status_code == 200
    assert api.client(other_tenant).put(f"{PATH}/new").status_code == 201
    assert client.delete(f"{PATH}/provider-4").status_code == 204
    assert client.put(f"{PATH}/another").status_code == 201


@pytest.mark.parametrize(
    ("desired", "reason"),
    [
        ({"types": ["t" * 129]}, "128"),
        ({"types": [f"t{n}" for n in range(65)]}, "64"),
        ({"sources": ["s" * 1_025]}, "1,024 bytes"),
        ({"sources": [str(n) for n in range(65)]}, "64"),
        ({"types": ["\u00e9" * 128], "sources": [f"{n:01024}" for n in range(8)]}, "8,448 bytes"),
    ],
    ids=["long type", "many types", "long source", "many sources", "large in all"],
)
def test_the_permissions_of_a_webhook_are_limited_in_size(
    api: Api, desired: dict[str, Any], reason: str
) -> None:
    client = api.client("acme")

    answer = client.put(f"{PATH}/shop", json=desired)

    assert answer.status_code == 400
    assert reason in answer.text
    assert client.get(PATH).json() == {"items": []}


def test_the_largest_permissions_are_accepted(api: Api) -> None:
    desired = {
        "types": [f"{n:0128}" for n in range(1)],
        "sources": [f"{n:01024}" for n in range(7)] + ["s" * 896],
    }
    assert api.client("acme").put(f"{PATH}/shop", json=desired).status_code == 201
