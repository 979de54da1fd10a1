"""Providers that check a URL before they use it are answered, without an injection."""

import json

from tests.support.sources.payloads import delivery

from goald.sources.compiled import compile_source
from goald.sources.handshakes import HandshakeResponse

SOURCE = compile_source("cloudevents", {})


def options(**headers: str) -> HandshakeResponse | None:
    values = {name.replace("_", "-"): text for name, text in headers.items()}
    return SOURCE.handshake(delivery(b"", values, method="OPTIONS"))


def test_the_handshake_of_cloud_events_echoes_origin_and_rate() -> None:
    answer = options(webhook_request_origin="eventemitter.example.com", webhook_request_rate="120")
    assert answer is not None
    assert answer.status == 200
    assert answer.headers == {
        "Allow": "POST, OPTIONS",
        "WebHook-Allowed-Origin": "eventemitter.example.com",
        "WebHook-Allowed-Rate": "120",
    }


def test_nothing_but_a_name_and_a_number_is_echoed() -> None:
    for origin in ("", "a b", "evil\r\nX: y", "<script>", "x" * 300, "ä.example"):
        answer = options(webhook_request_origin=origin)
        assert answer is not None
        assert answer.status == 405
        assert "WebHook-Allowed-Origin" not in answer.headers, origin
    answer = options(webhook_request_origin="*", webhook_request_rate="1\r\nX: y")
    assert answer is not None
    assert answer.headers["WebHook-Allowed-Rate"] == "*"


def test_a_post_is_no_handshake_and_other_presets_have_none() -> None:
    assert SOURCE.handshake(delivery(b"{}", {"WebHook-Request-Origin": "a.example"})) is None
    stripe = compile_source("stripe", {})
    assert (
        stripe.handshake(delivery(b"", {"WebHook-Request-Origin": "a"}, method="OPTIONS")) is None
    )


def test_event_grids_own_validation_is_answered_with_its_code() -> None:
    event = {
        "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
        "data": {"validationCode": "512d38b6-c7b8-40c8-89fe-f46f9e9622b6"},
    }
    body, header = json.dumps([event]).encode(), {"aeg-event-type": "SubscriptionValidation"}
    answer = SOURCE.handshake(delivery(body, header))
    assert answer is not None
    assert json.loads(answer.body) == {"validationResponse": event["data"]["validationCode"]}  # type: ignore[index]
    assert answer.headers["Content-Type"] == "application/json"


def test_a_custom_source_may_echo_a_challenge() -> None:
    document = {
        "handshake": {
            "challenge": {
                "type": "reply",
                "when": "body.type == 'url_verification'",
                "json": {"challenge": "body.challenge"},
            }
        },
        "events": {"any": {"when": "body", "type": "form.submitted"}},
    }
    source = compile_source("custom", document)
    answer = source.handshake(delivery(b'{"type": "url_verification", "challenge": "abc"}'))
    assert answer is not None
    assert json.loads(answer.body) == {"challenge": "abc"}
    assert source.handshake(delivery(b"not json")) is None
