"""Events over HTTP may omit their id, source and time (E20), and have anything in fields that goald
does not read (E14)."""

import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import redis
from tests.support.api.client import Api
from tests.support.services.commands import events_in

from goald.api.auth.signatures import parse_secret, sign

PATH = "/api/v1/events"
TAGGED: dict[str, Any] = {
    "type": "contact.tag.added",
    "data": {"contact_id": "ann", "tag_id": "t-1"},
}


@pytest.fixture
def client(api: Api) -> httpx.Client:
    return api.client("acme", "events:write")


@pytest.fixture
def published(redis_url: str) -> Callable[[], list[dict[str, Any]]]:
    def read() -> list[dict[str, Any]]:
        with redis.Redis.from_url(redis_url) as server:
            return sorted(events_in(server), key=lambda event: str(event["id"]))

    return read


def test_event_without_id_source_and_time_is_a_new_event_of_now(
    client: httpx.Client, published: Callable[[], list[dict[str, Any]]]
) -> None:
    """Two equal submissions of a form are two events."""
    for _ in range(2):
        answer = client.post(PATH, json=TAGGED)
        assert (answer.status_code, answer.json()["accepted"]) == (202, 1)
    first, second = published()
    assert first["id"] != second["id"]
    for event in (first, second):
        assert (event["source"], event["tenantid"]) == ("goald/api", "acme")
        assert event["time"].endswith("Z")


def test_repeated_request_with_an_idempotency_key_is_the_same_events(
    client: httpx.Client,
    published: Callable[[], list[dict[str, Any]]],
    redis_url: str,
) -> None:
    """Also if the first response was lost together with the stored one."""
    headers = {"idempotency-key": "order-1001"}
    for _ in range(2):
        assert client.post(PATH, json=[TAGGED, TAGGED], headers=headers).status_code == 202
        with redis.Redis.from_url(redis_url) as server:
            server.delete(*server.keys("*dempot*"))
    ids = [event["id"] for event in published()]
    assert len(ids) == 4
    assert ids[0] == ids[1] != ids[2] == ids[3]


def test_redelivered_webhook_is_the_same_event(
    api: Api, published: Callable[[], list[dict[str, Any]]]
) -> None:
    editor = api.client("acme", "workflows:edit")
    granted = {"types": ["contact.tag.added"]}
    secret = editor.put("/api/v1/webhooks/shop", json=granted).json()["secret"]
    body = json.dumps(TAGGED | {"data": TAGGED["data"] | {"note": "\ud83d"}}).encode()
    now_s = int(time.time())
    for timestamp in (now_s, now_s + 1):
        headers = {
            "content-type": "application/json",
            "webhook-id": "msg-1",
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(parse_secret(secret), "msg-1", timestamp, body),
        }
        query = {"tenant": "acme", "provider": "shop"}
        answer = api.anonymous().post(PATH, params=query, content=body, headers=headers)
        assert answer.status_code == 202, answer.text
    assert [(event["source"], event["id"]) for event in published()] == [("shop", "msg-1")] * 2


@pytest.mark.parametrize("name", ["id", "source", "time", "type"])
def test_attribute_that_is_null_is_refused_by_its_name(client: httpx.Client, name: str) -> None:
    answer = client.post(PATH, json=TAGGED | {name: None})
    assert answer.status_code == 400
    assert answer.json()["detail"] == f"{name}: required but missing"


@pytest.mark.parametrize(
    "at",
    [
        "2026-01-31T09:00:00+0000",
        "2026-01-31 09:00:00+00",
        "2026-01-31T09:00Z",
        "2026-01-31 09:00:00 UTC",
        1_769_850_000,
        1_769_850_000_000,
        "1769850000.5",
    ],
)
def test_time_is_accepted_in_the_forms_in_use(client: httpx.Client, at: Any) -> None:
    assert client.post(PATH, json=TAGGED | {"time": at}).status_code == 202


@pytest.mark.parametrize("at", ["2026-01-31 09:00:00", "20260131", 20_260_131, True, []])
def test_time_that_is_ambiguous_is_refused(client: httpx.Client, at: Any) -> None:
    answer = client.post(PATH, json=TAGGED | {"time": at})
    assert (answer.status_code, answer.json()["detail"]) == (
        400,
        "time: not an RFC 3339 time with an offset",
    )


@pytest.mark.parametrize(
    "data",
    [
        {"answers": {"message": "x" * 200_000}},
        {"answers": {f"q{number}": "y" for number in range(2_000)}},
        {"answers": {"m": "\ud83d", "n\0": "a\0"}},
        {"order": {f"k{number}": None for number in range(84)}},
        {"contact_id": 7513594, "tag_id": 12},
    ],
    ids=["long", "many-keys", "not-unicode", "order", "numbers-as-ids"],
)
def test_data_that_is_not_read_refuses_nothing(
    api: Api, client: httpx.Client, data: dict[str, Any]
) -> None:
    event = TAGGED | {"data": TAGGED["data"] | data}
    body, headers = json.dumps(event), {"content-type": "application/json"}
    answer = client.post(PATH, content=body, headers=headers)
    assert (answer.status_code, answer.text[:300]) == (202, answer.text[:300])
    explained = api.client("acme").post("/api/v1/explain", content=body, headers=headers)
    assert explained.status_code == 200, explained.text[:300]
