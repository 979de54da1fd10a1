"""Events over HTTP: accepted events are on the streams before the response, and rejected events
get the same reasons as in goald:dead."""

import gzip
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import redis
from tests.support.api.client import Api
from tests.support.services.commands import events_in

from goald.client import event
from goald.domain.streams import partition_of
from goald.redis_keys import event_stream

PATH = "/api/v1/events"
JSON = {"content-type": "application/json"}
ACCEPTED: dict[str, Any] = {"accepted": 1, "ignored": 0, "ignored_types": [], "refused": []}


def tagged(event_id: str = "evt-1", tenant: str | None = "acme", **data: Any) -> dict[str, Any]:
    created = event("contact.tag.added", "acme", "ann", {"tag_id": "t-1", **data}, id=event_id)
    if tenant is None:
        del created["tenantid"]
    else:
        created["tenantid"] = tenant
    return created


@pytest.fixture
def client(api: Api) -> httpx.Client:
    return api.client("acme", "events:write")


def ids_in(redis_url: str) -> list[str]:
    with redis.Redis.from_url(redis_url) as client:
        return sorted(event["id"] for event in events_in(client))


def payloads(redis_url: str, contact: str = "ann") -> list[bytes]:
    """The events in the contact's stream, in order."""
    with redis.Redis.from_url(redis_url) as client:
        stream = event_stream(partition_of("acme", contact, 4))
        return [fields[b"event"] for _, fields in client.xrange(stream)]


def test_accepted_event_is_on_the_stream_of_its_contact(
    client: httpx.Client, redis_url: str
) -> None:
    answer = client.post(PATH, json=tagged())
    assert (answer.status_code, answer.json()) == (202, ACCEPTED)
    assert [json.loads(payload)["id"] for payload in payloads(redis_url)] == ["evt-1"]


def test_event_bytes_are_published_unchanged(client: httpx.Client, redis_url: str) -> None:
    """A float would not be what the producer sent."""
    text = json.dumps(tagged(amount=1)).replace('"amount": 1', '"amount":  0.1000000000000000055e1')
    assert client.post(PATH, content=text, headers=JSON).status_code == 202
    assert payloads(redis_url) == [text.encode()]


def test_list_keeps_its_order_within_a_contact(client: httpx.Client, redis_url: str) -> None:
    answer = client.post(PATH, json=[tagged(f"evt-{number}") for number in range(1_000)])
    assert answer.json() == ACCEPTED | {"accepted": 1_000}
    ids = [json.loads(payload)["id"] for payload in payloads(redis_url)]
    assert ids == [f"evt-{number}" for number in range(1_000)]


def test_event_without_a_tenant_gets_the_callers_tenant(
    client: httpx.Client, redis_url: str
) -> None:
    assert client.post(PATH, json=tagged(tenant=None)).status_code == 202
    assert [json.loads(payload)["tenantid"] for payload in payloads(redis_url)] == ["acme"]


def test_refused_event_does_not_affect_the_others(client: httpx.Client, redis_url: str) -> None:
    without_contact = tagged("evt-2")
    del without_contact["data"]["contact_id"]
    answer = client.post(PATH, json=[tagged("evt-1"), without_contact, "text", tagged("evt-3")])
    assert answer.status_code == 202
    assert answer.json() == {
        "accepted": 2,
        "ignored": 0,
        "ignored_types": [],
        "refused": [
            {"index": 1, "id": "evt-2", "reason": "data.contact_id: required but missing"},
            {"index": 2, "reason": "neither a MessagePack map nor a JSON object"},
        ],
    }
    assert ids_in(redis_url) == ["evt-1", "evt-3"]


def test_events_of_unknown_types_are_ignored_and_the_nearest_type_is_named(
    client: httpx.Client, redis_url: str
) -> None:
    types = ["payment.complete", "payment.complete", "page.viewed", "x", "form.submitted"]
    body = [tagged(f"evt-{number}") | {"type": name} for number, name in enumerate(types)]
    answer = client.post(PATH, json=body)
    assert answer.json() == {
        "accepted": 5,
        "ignored": 4,
        "ignored_types": [
            {"type": "payment.complete", "nearest": "payment.completed"},
            {"type": "page.viewed"},
            {"type": "x"},
        ],
        "refused": [],
    }
    assert ids_in(redis_url) == ["evt-4"]


def test_ignored_events_are_not_published_and_are_counted(
    client: httpx.Client, redis_url: str
) -> None:
    """Ignored events would otherwise take room in Redis for as long as entries are kept."""
    padding = {f"note{number}": "x" * 1_000 for number in range(60)}
    body = [tagged(f"evt-{number}", **padding) | {"type": "page.viewed"} for number in range(15)]
    assert len(json.dumps(body)) > 900_000
    with redis.Redis.from_url(redis_url) as server:
        before = set(server.keys("goald:events:*"))
        for _ in range(20):
            answer = client.post(PATH, json=body)
            assert (answer.status_code, answer.json()["ignored"]) == (202, 15)
        assert set(server.keys("goald:events:*")) == before
    counted = 'goald_api_events_total{outcome="ignored"} 300.0'
    assert counted in client.get("/metrics").text


def test_event_of_another_tenant_is_refused(client: httpx.Client, redis_url: str) -> None:
    answer = client.post(PATH, json=[tagged("evt-1", "globex"), tagged("evt-2")])
    [refused] = answer.json()["refused"]
    assert refused["reason"] == "tenantid: not the caller's tenant"
    assert ids_in(redis_url) == ["evt-2"]


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (tagged(tenant="globex"), "tenantid: not the caller's tenant"),
        (tagged() | {"time": "yesterday"}, "time: not an RFC 3339 time with an offset"),
        (tagged() | {"time": "2999-01-01T00:00:00Z"}, "time: more than 24 h in the future"),
        (tagged(note="x" * 270_000), "the event is larger than 256 KiB"),
        (tagged(tag_name="a\0b"), "data.tag_name: contains a NUL character"),
        ([tagged() | {"id": ""}, tagged() | {"id": ""}], "None of the events is valid"),
    ],
)
def test_request_without_a_valid_event_gets_400_with_the_reasons(
    client: httpx.Client, redis_url: str, body: Any, detail: str
) -> None:
    answer = client.post(PATH, json=body)
    problem = answer.json()
    assert (answer.status_code, problem["status"]) == (400, 400)
    assert detail in problem["detail"]
    assert len(problem["refused"]) == (len(body) if isinstance(body, list) else 1)
    assert ids_in(redis_url) == []


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b"", "neither a JSON object nor a list"),
        (b"3", "neither a JSON object nor a list"),
        (b"[]", "no events"),
        (b"[{}", "not valid JSON"),
        (b"[" + b"{}," * 1_000 + b"{}]", "more than 1000"),
        (b'{"id": NaN}', "not valid JSON"),
        (b"\x81\xa1a\x01", "neither a JSON object nor a list"),
    ],
)
def test_body_without_events_gets_400(client: httpx.Client, content: bytes, detail: str) -> None:
    answer = client.post(PATH, content=content, headers=JSON)
    assert answer.status_code == 400
    assert detail in answer.json()["detail"]


@pytest.mark.parametrize(
    ("media", "body", "status"),
    [
        ("application/json; charset=utf-8", [tagged()], 202),
        ("application/cloudevents+json", tagged(), 202),
        ("application/cloudevents-batch+json", [tagged()], 202),
        ("application/cloudevents+json", [tagged()], 400),
        ("application/cloudevents-batch+json", tagged(), 400),
        ("application/merge-patch+json", tagged(), 415),
        ("text/plain", tagged(), 415),
        ("", tagged(), 415),
    ],
)
def test_content_type_must_match_the_body(
    client: httpx.Client, media: str, body: Any, status: int
) -> None:
    answer = client.post(PATH, content=json.dumps(body), headers={"content-type": media})
    assert answer.status_code == status


def test_compressed_body_is_refused(client: httpx.Client) -> None:
    headers = JSON | {"content-encoding": "gzip"}
    answer = client.post(
        PATH, content=gzip.compress(json.dumps(tagged()).encode()), headers=headers
    )
    assert answer.status_code == 415


@pytest.mark.usefixtures("patient_quotas")
def test_quota_counts_events(make_api: Callable[..., Api]) -> None:
    api = make_api(quota_events=10)
    client = api.client("acme", "events:write")
    bad = tagged() | {"time": "yesterday"}
    assert client.post(PATH, json=[*[tagged()] * 10, *[bad] * 90]).status_code == 202
    answer = client.post(PATH, json=[tagged()] * 10)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert api.client("globex").post(PATH, json=tagged(tenant=None)).status_code == 202


@pytest.mark.usefixtures("patient_quotas")
def test_quota_counts_large_events_several_times(make_api: Callable[..., Api]) -> None:
    client = make_api(quota_events=50).client("acme", "events:write")
    large = tagged(notes=["x" * 1_000] * 20)
    answers = [client.post(PATH, json=[large] * 2) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202, 429, 429]


def test_without_redis_events_get_503(make_api: Callable[..., Api]) -> None:
    client = make_api(redis_url="unix:///nowhere/redis.sock").client("acme")
    for headers in ({}, {"idempotency-key": "k"}):
        answer = client.post(PATH, json=tagged(), headers=headers)
        assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
        assert "redis" not in answer.text
