"""The receiver: deliveries of providers become events on the streams, and nothing else does."""

import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import redis
from tests.support.api.client import Api
from tests.support.sources.payloads import payload
from tests.support.sources.signing import SIGNERS, Request

STRIPE = "whsec_one"
ORDER = payload("stripe", "checkout.session.completed_current_jpy_guest.json")
JSON = {"content-type": "application/json"}


def created(api: Api, name: str = "pay", tenant: str = "acme", **body: Any) -> str:
    """Create a source and return the path of its URL."""
    body = {"preset": "stripe", "secrets": [STRIPE]} | body
    answer = api.client(tenant, "workflows:edit").put(f"/api/v1/sources/{name}", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["url"])


def stripe(body: bytes = ORDER, secret: str = STRIPE, age_s: int = 0) -> dict[str, str]:
    sent = Request(body, int(time.time()) - age_s, "", secret)
    return {**JSON, **SIGNERS["stripe"].sign(sent)}


def deliver(
    api: Api, path: str, body: bytes = ORDER, headers: dict[str, str] | None = None
) -> httpx.Response:
    headers = stripe(body) if headers is None else headers
    return api.anonymous().post(path, content=body, headers=headers)


def deliveries(api: Api, name: str = "pay") -> dict[str, list[dict[str, Any]]]:
    answer = api.client("acme").get(f"/api/v1/sources/{name}/deliveries")
    assert answer.status_code == 200, answer.text
    found: dict[str, list[dict[str, Any]]] = answer.json()
    return found


@pytest.fixture
def published(redis_url: str) -> Callable[[], list[dict[str, Any]]]:
    """The events on the streams."""

    def read() -> list[dict[str, Any]]:
        with redis.Redis.from_url(redis_url) as client:
            streams = sorted(client.scan_iter("goald:events:*"))
            entries = [fields for name in streams for _, fields in client.xrange(name)]
        return [json.loads(fields[b"event"]) for fields in entries]

    return read


Published = Callable[[], list[dict[str, Any]]]


def test_a_signed_delivery_is_an_event_on_the_stream_before_its_answer(
    api: Api, published: Published
) -> None:
    path = created(api)
    assert path.startswith("/hooks/acme/pay/")

    answer = deliver(api, path)

    assert answer.status_code == 200
    assert answer.json() == {"accepted": 1, "reasons": []}
    (event,) = published()
    assert (event["tenantid"], event["source"], event["type"]) == (
        "acme",
        "pay",
        "payment.completed",
    )
    assert event["data"]["contact_id"] == "crm-42"
    assert (event["data"]["amount"], event["data"]["currency"]) == ("5000", "JPY")


def test_a_redelivery_is_the_same_event(api: Api, published: Published) -> None:
    path = created(api)

    assert [deliver(api, path).status_code for _ in range(2)] == [200, 200]

    first, second = published()
    assert (first["source"], first["id"]) == (second["source"], second["id"])


def test_a_sender_without_key_and_secret_learns_nothing_from_the_answer(
    api: Api, published: Published
) -> None:
    path = created(api)
    _, _, tenant, name, key = path.split("/")
    refused = {
        "tenant": f"/hooks/unknown/{name}/{key}",
        "malformed tenant": f"/hooks/%00/{name}/{key}",
        "source": f"/hooks/{tenant}/other/{key}",
        "key": f"/hooks/{tenant}/{name}/{'A' * len(key)}",
        "another source's key": created(api, "other").replace("/other/", "/pay/"),
    }

    answers = {what: deliver(api, where) for what, where in refused.items()}
    answers["signature"] = deliver(api, path, headers=stripe(secret="whsec_false"))
    answers["no signature"] = deliver(api, path, headers=JSON)
    answers["stale"] = deliver(api, path, headers=stripe(age_s=301))

    volatile = {"date"}
    kinds = {
        what: (
            answer.status_code,
            answer.text,
            sorted((k, v) for k, v in answer.headers.items() if k not in volatile),
        )
        for what, answer in answers.items()
    }
    assert all(kind == kinds["tenant"] for kind in kinds.values()), kinds
    assert kinds["tenant"][0] == 401
    assert published() == []


def test_only_deliveries_with_the_key_are_recorded_and_unverified_ones_apart(api: Api) -> None:
    path = created(api)
    deliver(api, path)
    deliver(api, path, headers=stripe(secret="whsec_false"))
    deliver(api, path[:-4] + "AAAA")

    found = deliveries(api)

    (verified,), (unverified,) = found["verified"], found["unverified"]
    assert verified["outcome"] == "accepted"
    assert [each["contact_id"] for each in verified["events"]] == ["crm-42"]
    assert verified["size"] == len(ORDER)
    assert unverified["outcome"] == "unverified"
    assert "does not match" in unverified["verification"]


def test_a_delivery_without_a_meaning_gets_200_and_its_reason(
    api: Api, published: Published
) -> None:
    path = created(api)
    body = payload("stripe", "checkout.session.completed_unpaid.json")

    answer = deliver(api, path, body)

    assert (answer.status_code, answer.json()["accepted"]) == (200, 0)
    assert answer.json()["reasons"] == ["the checkout session is not paid"]
    (found,) = deliveries(api)["verified"]
    assert (found["outcome"], found["notes"]) == ("ignored", ["the checkout session is not paid"])
    assert published() == []


@pytest.mark.parametrize("body", [b"", b"{", b"[1, 2]", b"\xff\xfe", b'{"a": 1, "a": 2}'])
def test_a_body_that_cannot_be_read_is_not_repeated(
    api: Api, published: Published, body: bytes
) -> None:
    answer = deliver(api, created(api), body)

    assert (answer.status_code, answer.json()["accepted"]) == (200, 0)
    assert published() == []


def test_a_payment_without_its_amount_is_noted_in_the_answer_and_in_deliveries(api: Api) -> None:
    rule = {"when": "body.paid", "type": "payment.completed", "amount": "body.totl"}
    document = {
        "provider": "Shop",
        "scheme": {"type": "none"},
        "contact": {"id": "body.buyer"},
        "events": {"paid": rule},
    }
    path = created(api, preset="custom", secrets=[], overrides=document)
    body = b'{"paid": true, "buyer": "c-1", "total": 5}'

    answer = deliver(api, path, body, JSON).json()

    (reason,) = answer["reasons"]
    assert (answer["accepted"], reason.partition(":")[0]) == (
        1,
        "events.paid.amount leads nowhere in this delivery",
    )
    (recorded,) = deliveries(api)["verified"]
    assert (recorded["outcome"], recorded["notes"]) == ("accepted", [reason])


def test_a_body_of_more_than_1_mib_is_refused(api: Api) -> None:
    path = created(api)

    assert deliver(api, path, b" " * ((1 << 20) + 1)).status_code == 413


def test_without_redis_the_provider_delivers_again(make_api: Callable[..., Api]) -> None:
    path = created(make_api())
    broken = make_api(redis_url="unix:///nowhere/redis.sock")

    answer = deliver(broken, path)

    assert (answer.status_code, "retry-after" in answer.headers) == (503, True)


@pytest.mark.usefixtures("patient_quotas")
def test_the_quotas_of_the_tenant_apply(make_api: Callable[..., Api]) -> None:
    api = make_api(quota_events=1)
    path = created(api)

    # As many as a slow machine needs to use up the burst, which is refilled meanwhile.
    assert any(deliver(api, path).status_code == 429 for _ in range(200))
    failed = [each for each in deliveries(api)["verified"] if each["outcome"] == "failed"]
    assert failed
    assert "quota" in failed[0]["notes"][0]


def test_both_secrets_of_a_rotation_are_accepted_and_the_old_one_no_longer_than_it_is_set(
    api: Api,
) -> None:
    path = created(api, secrets=[STRIPE, "whsec_two"])
    new = stripe(secret="whsec_two")
    assert [deliver(api, path).status_code, deliver(api, path, headers=new).status_code] == [
        200,
        200,
    ]

    body = {"preset": "stripe", "secrets": ["whsec_two"]}
    replaced = api.client("acme").put("/api/v1/sources/pay", json=body)

    assert replaced.status_code == 200
    assert replaced.json().get("url") is None
    assert deliver(api, path).status_code == 401
    assert deliver(api, path, headers=new).status_code == 200


def test_a_rotated_key_overlaps_with_the_previous_one(api: Api) -> None:
    first = created(api)
    client = api.client("acme", "workflows:edit")
    rotate = "/api/v1/sources/pay/rotate-key"

    second = client.post(rotate, json={"overlap_seconds": 60}).json()
    assert second["url"] != first
    assert second["previous_key_expires_at"] > second["key_created_at"]
    assert [deliver(api, path).status_code for path in (first, second["url"])] == [200, 200]

    third = client.post(rotate, json={"overlap_seconds": 0}).json()["url"]
    statuses = [deliver(api, path).status_code for path in (first, second["url"], third)]
    assert statuses == [401, 401, 200]


def test_a_deleted_source_receives_nothing(api: Api, published: Published) -> None:
    path = created(api)
    deliver(api, path)
    client = api.client("acme")

    assert client.delete("/api/v1/sources/pay").status_code == 204
    assert deliver(api, path).status_code == 401
    assert client.get("/api/v1/sources/pay").status_code == 404
    assert len(published()) == 1
    created(api)
    assert deliveries(api) == {"verified": [], "unverified": []}


def test_a_handshake_is_answered_only_with_the_key(api: Api) -> None:
    path = created(api, preset="woocommerce", secrets=["woo"])
    form = {"content-type": "application/x-www-form-urlencoded"}

    assert deliver(api, path, b"webhook_id=7", form).status_code == 200
    assert deliver(api, path[:-4] + "AAAA", b"webhook_id=7", form).status_code == 401
    (found,) = deliveries(api)["verified"]
    assert (found["outcome"], found["event_count"]) == ("handshake", 0)


def test_the_options_handshake_of_cloudevents(api: Api) -> None:
    path = created(api, preset="cloudevents", secrets=None)
    origin = {"WebHook-Request-Origin": "eventgrid.azure.net"}
    client = api.anonymous()

    answer = client.options(path, headers=origin)

    assert answer.status_code == 200
    assert answer.headers["webhook-allowed-origin"] == "eventgrid.azure.net"
    refused = client.options(path[:-4] + "AAAA", headers=origin)
    assert refused.status_code == 401
    assert "webhook-allowed-origin" not in refused.headers
    assert client.options(created(api, "other"), headers=origin).status_code == 405


def test_an_unknown_contact_is_ignored_by_default_and_created_or_dead_if_so_set(
    api: Api, published: Published
) -> None:
    body = payload("stripe", "invoice.paid_current.json")
    outcomes = []
    for on_unknown in ("ignore", "create", "dead"):
        path = created(api, on_unknown, contact={"on_unknown": on_unknown})
        assert deliver(api, path, body).status_code == 200
        (found,) = deliveries(api, on_unknown)["verified"]
        outcomes.append(found["events"][0]["outcome"])

    assert outcomes == ["ignored", "sent", "dead"]
    created_one, dead = sorted(published(), key=lambda each: str(each["source"]))
    assert created_one["data"]["contact_id"]
    assert "jenny.rosen" not in created_one["data"]["contact_id"]
    assert dead["data"] == {"unknown_contact": "no contact has this e-mail address"}


def test_an_address_as_contact_id_is_masked_in_deliveries(api: Api) -> None:
    contact = {"id": "object.customer_details.email"}
    path = created(api, contact=contact)
    deliver(api, path)

    text = json.dumps(deliveries(api))

    assert "jenny.rosen" not in text
    assert "j…@example.com" in json.loads(text)["verified"][0]["events"][0]["contact_id"]


def test_a_multipart_form_is_received(api: Api, published: Published) -> None:
    path = created(api, preset="jotform", secrets=None, contact={"on_unknown": "create"})
    body = payload("jotform", "submission_contact_appointment.multipart")
    boundary = "------------------------1WSA91c0mNqsH82UlEp0qj"

    answer = deliver(api, path, body, {"content-type": f"multipart/form-data; boundary={boundary}"})

    assert answer.json()["accepted"] == 1
    assert published()[0]["data"]["form_id"] == "241692120026345"


def test_a_slash_in_tenant_and_source_stays_within_its_segment(
    api: Api, published: Published
) -> None:
    client = api.client("ac/me", "workflows:edit")
    body = {"preset": "stripe", "secrets": [STRIPE]}
    path = client.put("/api/v1/sources/pay%2Fments", json=body).json()["url"]

    assert deliver(api, path).status_code == 200
    assert published()[0]["tenantid"] == "ac/me"


def test_hubspot_signs_the_public_url(make_api: Callable[..., Api], published: Published) -> None:
    signer = SIGNERS["hubspot"]
    body: dict[str, Any] = {"preset": "hubspot", "secrets": [signer.secret]}
    without = make_api().client("acme").put("/api/v1/sources/crm", json=body)
    assert without.status_code == 400
    assert "GOALD_PUBLIC_URL" in without.json()["detail"]

    api = make_api(public_url="https://goald.example.com/")
    url = created(api, "crm", **body)
    assert url.startswith("https://goald.example.com/hooks/acme/crm/")
    sent = payload("hubspot", "batch_property_changes.json")
    headers = signer.sign(Request(sent, int(time.time()), url, signer.secret))

    answer = deliver(api, url.removeprefix("https://goald.example.com"), sent, {**JSON, **headers})

    assert answer.status_code == 200
    types = {event["type"] for event in published()}
    assert types == {"contact.updated", "pipeline.stage.changed"}
