"""`Idempotency-Key`: the same request again is the same answer again, and nothing is done twice."""

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import redis
from tests.support.api.client import DEADLINE_S, Api
from tests.support.services.commands import events_in

from goald.adapters.redis import connect
from goald.client import event

ENROLL = ("/api/v1/workflows/w/enrollments", {"enrollment_id": "e-1", "contact_id": "ann"})
END = ("/api/v1/workflows/w/enrollments/e-1/end", {"contact_id": "ann", "reason": "exited"})
EVENT = event("form.submitted", "acme", "ann", {"form_id": "f"}, id="evt-1")
ROUTES = [("/api/v1/events", EVENT), ENROLL, END]
KEY = {"idempotency-key": "order 1001"}


@pytest.fixture
def client(api: Api) -> httpx.Client:
    return api.client("acme", "events:write")


def count(redis_url: str) -> int:
    with redis.Redis.from_url(redis_url) as client:
        return len(events_in(client))


@pytest.mark.parametrize(("path", "body"), ROUTES)
def test_repeated_request_gets_the_stored_response(
    client: httpx.Client, redis_url: str, path: str, body: Any
) -> None:
    first = client.post(path, json=body, headers=KEY)
    again = client.post(path, json=body, headers=KEY)
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.content == first.content
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert count(redis_url) == 1


@pytest.mark.parametrize(("path", "body"), ROUTES)
def test_different_request_with_the_key_is_a_conflict(
    client: httpx.Client, redis_url: str, path: str, body: Any
) -> None:
    client.post(path, json=body, headers=KEY)
    other = client.post("/api/v1/events", json=EVENT | {"id": "evt-2"}, headers=KEY)
    assert (other.status_code, "different request" in other.json()["detail"]) == (409, True)
    assert count(redis_url) == 1


def test_without_a_key_every_request_is_executed(client: httpx.Client, redis_url: str) -> None:
    for _ in range(2):
        assert client.post("/api/v1/events", json=EVENT).status_code == 202
    assert count(redis_url) == 2


def test_of_concurrent_requests_one_is_executed(api: Api, redis_url: str) -> None:
    def send(client: httpx.Client) -> httpx.Response:
        return client.post("/api/v1/events", json=EVENT, headers=KEY)

    clients = [api.client("acme", "events:write") for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, clients))
    assert {answer.status_code for answer in answers} <= {202, 409}
    done = [answer for answer in answers if answer.status_code == 202]
    assert sum("idempotency-replayed" not in answer.headers for answer in done) == 1
    for answer in answers:
        if answer.status_code == 409:
            assert answer.headers["retry-after"] == "1"
            assert "in progress" in answer.json()["detail"]
    assert count(redis_url) == 1


def test_refused_request_releases_the_key(client: httpx.Client, redis_url: str) -> None:
    for _ in range(2):
        bad = client.post("/api/v1/events", json=EVENT | {"time": "yesterday"}, headers=KEY)
        assert (bad.status_code, "idempotency-replayed" in bad.headers) == (400, False)
    assert client.post("/api/v1/events", json=EVENT, headers=KEY).status_code == 202
    assert count(redis_url) == 1


def test_request_with_a_key_times_out_like_one_without(
    make_api: Callable[..., Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request with a key must not wait ten seconds for each of its calls to Redis; a request
    without a key is refused after two."""
    monkeypatch.setattr(connect, "_TIMEOUT_S", 10 * DEADLINE_S)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        api = make_api(redis_url=f"redis://127.0.0.1:{silent.getsockname()[1]}")
        answer = api.client("acme").post("/api/v1/events", json=EVENT, headers=KEY)
    assert answer.status_code == 503


def test_keys_belong_to_one_tenant(api: Api, redis_url: str) -> None:
    body = {name: value for name, value in EVENT.items() if name != "tenantid"}
    for tenant in ("acme", "globex"):
        answer = api.client(tenant).post("/api/v1/events", json=body, headers=KEY)
        assert "idempotency-replayed" not in answer.headers
    assert count(redis_url) == 2


@pytest.mark.parametrize("key", ["", "x" * 256, "caf\xe9", "a\tb"])
def test_key_has_1_to_255_printable_characters(client: httpx.Client, key: str) -> None:
    headers = {b"idempotency-key": key.encode("latin-1")}
    answer = client.post("/api/v1/events", json=EVENT, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["parameter"].lower() == "idempotency-key"
