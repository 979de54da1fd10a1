"""Webhooks: secrets that are shown only when they are created, and events that are
signed with them."""

import json
import time
from typing import Any

import pytest
from tests.support.api.client import Api
from tests.support.api.webhooks import PATH, SECRET, event, send, signed

from goald.api.auth.signatures import parse_secret


def test_secret_is_generated_and_returned_once(api: Api) -> None:
    client = api.client("acme", "workflows:edit")

    created = client.put(f"{PATH}/stripe")

    assert created.status_code == 201
    assert len(parse_secret(created.json()["secret"])) == 32
    listed = client.get(PATH)
    assert [item["provider"] for item in listed.json()["items"]] == ["stripe"]
    assert set(listed.json()["items"][0]) == {"provider", "created_at", "types", "sources"}
    assert created.json()["secret"] not in listed.text


def test_generated_secrets_differ(api: Api) -> None:
    client = api.client("acme", "workflows:edit")

    assert len({client.put(f"{PATH}/stripe").json()["secret"] for _ in range(5)}) == 5


def test_given_secret_is_accepted(api: Api) -> None:
    client = api.client("acme", "workflows:edit")

    assert client.put(f"{PATH}/stripe", json={"secret": SECRET}).json()["secret"] == SECRET
    assert send(api, event(), signed(SECRET, event())).status_code == 202


def test_invalid_secret_is_refused_and_not_echoed(api: Api) -> None:
    client = api.client("acme", "workflows:edit")
    wrong: list[Any] = [{"secret": "whsec_c2hvcnQ="}, {"secret": 1}, {"secrets": SECRET}, [], "x"]
    for desired in wrong:
        answer = client.put(f"{PATH}/stripe", json=desired)

        assert answer.status_code == 400
        assert "c2hvcnQ" not in answer.text
    assert client.get(PATH).json() == {"items": []}


def test_signed_event_is_accepted_for_the_tenant_of_the_secret(api: Api) -> None:
    secret = api.client("acme", "workflows:edit").put(f"{PATH}/stripe").json()["secret"]

    answer = send(api, event(), signed(secret, event()))

    assert answer.status_code == 202, answer.text
    assert answer.json()["accepted"] == 1


def test_replaced_and_deleted_secrets_are_invalid(api: Api) -> None:
    client = api.client("acme", "workflows:edit")
    first = client.put(f"{PATH}/stripe").json()["secret"]
    replaced = client.put(f"{PATH}/stripe")

    assert replaced.status_code == 200
    assert send(api, event(), signed(first, event())).status_code == 401
    assert send(api, event(), signed(replaced.json()["secret"], event())).status_code == 202

    assert client.delete(f"{PATH}/stripe").status_code == 204
    assert send(api, event(), signed(replaced.json()["secret"], event())).status_code == 401
    assert client.delete(f"{PATH}/stripe").status_code == 404


def test_webhook_of_another_tenant_is_neither_listed_nor_deleted(
    api: Api, other_tenant: str
) -> None:
    secret = api.client("acme", "workflows:edit").put(f"{PATH}/stripe").json()["secret"]
    other = api.client(other_tenant, "workflows:edit")

    assert other.get(PATH).json() == {"items": []}
    assert other.delete(f"{PATH}/stripe").status_code == 404
    assert other.put(f"{PATH}/stripe").status_code == 201
    assert send(api, event(), signed(secret, event())).status_code == 202
    assert send(api, event(), signed(secret, event()), tenant=other_tenant).status_code == 401


def test_every_invalid_webhook_gets_the_same_response(api: Api) -> None:
    client = api.client("acme", "workflows:edit")
    secret = client.put(f"{PATH}/stripe").json()["secret"]
    body, good = event(), signed(secret, event())
    now = time.time()

    refused = [
        send(api, body, good, tenant="unknown"),
        send(api, body, good, provider="unknown"),
        send(api, body, good, tenant=""),
        send(api, body, good, tenant="a\x00b"),
        send(api, body, good, provider="x" * 257),
        send(api, body, signed(SECRET, body)),
        send(api, event("eve"), good),
        send(api, body, good | {"webhook-id": "msg-2"}),
        send(api, body, good | {"webhook-timestamp": str(int(now) + 1)}),
        send(api, body, good | {"webhook-signature": "v1,"}),
        send(api, body, {name: good[name] for name in good if name != "webhook-id"}),
    ]

    assert {answer.status_code for answer in refused} == {401}
    assert len({answer.text for answer in refused}) == 1


def test_wrong_time_is_named_and_does_not_show_whether_the_webhook_exists(
    api: Api,
) -> None:
    """A provider whose clock is wrong would look for the fault in its secret."""
    secret = api.client("acme", "workflows:edit").put(f"{PATH}/stripe").json()["secret"]
    body, now = event(), time.time()
    good = signed(secret, body)

    refused = [
        send(api, body, signed(secret, body, at=now - 301)),
        send(api, body, signed(secret, body, at=now + 310)),
        send(api, body, signed(secret, body, at=now - 301), tenant="unknown"),
        send(api, body, signed(SECRET, body, at=now - 301), provider="unknown"),
        send(api, body, good | {"webhook-timestamp": "soon"}),
        send(api, body, {name: good[name] for name in good if name != "webhook-timestamp"}),
    ]

    assert {answer.status_code for answer in refused} == {401}
    (detail,) = {answer.json()["detail"] for answer in refused}
    assert "within 300 s of goald's clock (GOALD_WEBHOOK_WINDOW)" in detail
    assert len({answer.text for answer in refused}) == 1


def test_signature_is_ignored_if_there_is_an_invalid_token(api: Api) -> None:
    secret = api.client("acme", "workflows:edit").put(f"{PATH}/stripe").json()["secret"]
    headers = signed(secret, event()) | {"authorization": "Bearer x"}

    assert send(api, event(), headers).status_code == 401


def test_signature_gives_no_access_to_other_routes(api: Api) -> None:
    secret = api.client("acme", "workflows:edit").put(f"{PATH}/stripe").json()["secret"]
    query = {"tenant": "acme", "provider": "stripe"}

    answer = api.anonymous().get(PATH, params=query, headers=signed(secret, b""))

    assert answer.status_code == 401


def test_webhook_cannot_send_for_another_tenant(api: Api) -> None:
    secret = api.client("acme", "workflows:edit").put(f"{PATH}/stripe").json()["secret"]
    body = event(tenantid="other")

    assert send(api, body, signed(secret, body)).status_code == 400


def test_too_large_body_is_refused(api: Api) -> None:
    body = b" " * (1 << 20) + event()

    assert send(api, body, signed(SECRET, body)).status_code == 413


@pytest.mark.parametrize("provider", ["str%2Fipe", "str%20ipe", "%F0%9F%8E%AF"])
def test_provider_names_may_contain_any_printable_character(api: Api, provider: str) -> None:
    client = api.client("acme", "workflows:edit")

    assert client.put(f"{PATH}/{provider}").status_code == 201
    assert client.delete(f"{PATH}/{provider}").status_code == 204


@pytest.mark.parametrize("provider", ["%00", "a%0Ab", "%FF", "x" * 257])
def test_invalid_provider_names_are_refused(api: Api, provider: str) -> None:
    answer = api.client("acme", "workflows:edit").put(f"{PATH}/{provider}")

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["parameter"] == "provider"


def test_audit_log_has_the_actor_but_not_the_secret(api: Api) -> None:
    client = api.client("acme", "workflows:edit", sub="editor@acme")
    secret = client.put(f"{PATH}/stripe").json()["secret"]
    client.delete(f"{PATH}/stripe")

    entries = api.client("acme", "audit:read").get("/api/v1/audit").json()["items"]

    assert {entry["actor"] for entry in entries} == {"editor@acme"}
    assert len(entries) == 2
    assert secret not in json.dumps(entries)
    assert parse_secret(secret).hex() not in json.dumps(entries)
