"""Sources over the API: faults are found when a source is set, and secrets never come back."""

from typing import Any

import httpx
import pytest
import redis
from tests.integration.api.sources.test_hooks import ORDER, STRIPE, created, deliver, stripe
from tests.support.api.client import Api

PATH = "/api/v1/sources/pay"


def put(api: Api, **body: Any) -> httpx.Response:
    body = {"preset": "stripe", "secrets": [STRIPE]} | body
    return api.client("acme", "workflows:edit").put(PATH, json=body)


def test_neither_secrets_nor_the_key_are_returned_again(api: Api) -> None:
    url = created(api)
    client = api.client("acme")

    for text in (client.get(PATH).text, client.get("/api/v1/sources").text):
        assert STRIPE not in text
        assert url.rsplit("/", 1)[1] not in text
    assert client.get(PATH).json()["secrets"] == 1
    assert client.get(PATH).json()["types"] == [
        "contact.updated",
        "payment.completed",
        "payment.refunded",
    ]


def test_a_source_that_is_replaced_keeps_its_url_and_its_secrets(api: Api) -> None:
    path = created(api)
    replaced = put(api, secrets=None, overrides={"accept_tests": True})

    assert replaced.status_code == 200
    assert replaced.json()["secrets"] == 1
    assert deliver(api, path).status_code == 200


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"preset": "strpe"}, "/preset"),
        ({"secrets": ["sk_live_1"]}, "/secrets/0"),
        ({"secrets": []}, "/secrets"),
        ({"secrets": None}, "/secrets"),
        ({"overrides": {"events": {"checkout": {"amount": "a.["}}}}, "/events/checkout/amount"),
        ({"overrides": {"nonsense": 1}}, "/nonsense"),
        ({"overrides": {"events": {"x": {"when": "body", "type": "workflow.enrollment.started"}}}},
         "/events/x/type"),
        ({"preset": "jotform", "secrets": ["x"]}, "/secrets/0"),
        ({"preset": "gohighlevel", "secrets": []}, "/parameters/location_id"),
        ({"contact": {"on_unknown": "invent"}}, "/contact/on_unknown"),
    ],
)  # fmt: skip
def test_a_faulty_source_is_refused_with_the_place_of_the_fault(
    api: Api, body: dict[str, Any], pointer: str
) -> None:
    answer = put(api, **body)

    assert answer.status_code == 400, answer.text
    assert pointer in [fault.get("pointer") for fault in answer.json()["errors"]]
    assert api.client("acme").get(PATH).status_code == 404


def test_a_faulty_name_and_a_faulty_preset_are_reported_together(api: Api) -> None:
    body = {"preset": "strpe", "secrets": [STRIPE]}
    client = api.client("acme", "workflows:edit")

    answer = client.put("/api/v1/sources/a%00b", json=body)

    places = [fault.get("parameter") or fault["pointer"] for fault in answer.json()["errors"]]
    assert (answer.status_code, places) == (400, ["name", "/preset"])


def test_expressions_that_find_nothing_are_noted_when_a_source_is_set_read_and_tested(
    api: Api,
) -> None:
    rule = {"when": "body.type", "type": "payment.completed", "amount": "body.total"}
    overrides = {"events": {"checkout": None, "order": rule | {"currency": "EUR"}}}
    stored = put(api, overrides=overrides)

    (note,) = stored.json()["notes"]
    assert (stored.status_code, note[:30]) == (201, "events.order.currency: `EUR` i")
    client = api.client("acme", "workflows:edit")
    assert client.get(PATH).json()["notes"] == [note]
    tested = client.post(f"{PATH}/test", content=ORDER, headers=stripe())
    assert note in tested.json()["notes"]
    assert any(each.startswith("events.order.amount leads") for each in tested.json()["notes"])


def test_kept_secrets_must_fit_another_preset(api: Api) -> None:
    created(api, preset="shopify", secrets=["shpss_1"])

    answer = put(api, preset="stripe", secrets=None)

    assert answer.status_code == 400
    assert "existing" in answer.json()["detail"]
    assert api.client("acme").get(PATH).json()["preset"] == "shopify"


def test_the_audit_log_records_changes_without_secrets(api: Api) -> None:
    created(api)
    client = api.client("acme")
    client.post(f"{PATH}/rotate-key")
    client.delete(PATH)

    answer = client.get("/api/v1/audit")

    actions = [row["action"] for row in reversed(answer.json()["items"])]
    assert actions == ["source.created", "source.updated", "source.deleted"]
    assert STRIPE not in answer.text


def test_a_test_sends_and_records_nothing(api: Api, redis_url: str) -> None:
    created(api)
    client = api.client("acme", "workflows:edit")

    answer = client.post(f"{PATH}/test", content=ORDER, headers=stripe())

    result = answer.json()
    assert answer.status_code == 200
    assert (result["verified"], result["is_test"], result["notes"]) == (True, False, [])
    (event,) = result["events"]
    assert (event["type"], event["contact_id"], event["outcome"]) == (
        "payment.completed",
        "crm-42",
        "sent",
    )
    assert event["data"]["amount"] == "5000"
    assert client.get(f"{PATH}/deliveries").json() == {"verified": [], "unverified": []}
    with redis.Redis.from_url(redis_url) as streams:
        assert list(streams.scan_iter("goald:events:*")) == []


def test_a_test_says_why_a_payload_is_not_trusted_and_what_it_would_mean(api: Api) -> None:
    created(api)
    client = api.client("acme", "workflows:edit")

    result = client.post(f"{PATH}/test", content=ORDER, headers={"content-type": "text/x"}).json()

    assert not result["verified"]
    assert "Stripe-Signature" in result["verification"]
    assert [event["type"] for event in result["events"]] == ["payment.completed"]


def test_a_tenant_sees_and_changes_only_its_own_sources(api: Api, other_tenant: str) -> None:
    path = created(api)
    other = api.client(other_tenant)

    assert other.get("/api/v1/sources").json()["items"] == []
    for method, where in (
        ("GET", PATH),
        ("DELETE", PATH),
        ("POST", f"{PATH}/rotate-key"),
        ("GET", f"{PATH}/deliveries"),
        ("POST", f"{PATH}/test"),
    ):
        assert other.request(method, where).status_code == 404, (method, where)
    assert deliver(api, path).status_code == 200
