"""Each provider's signatures, over its payloads, and the vectors that providers publish."""

import hmac
from collections.abc import Mapping
from typing import Any

import pytest
from tests.support.sources.payloads import NOW_US, URL, delivery, payload, vectors

from goald.sources.compiled import Source, compile_source
from goald.sources.schemes.contract import Verification

SIGNED = ("calcom", "calendly", "gohighlevel", "segment", "shopify", "stripe", "woocommerce")
SIGNED_BY_HEADER = ("tally", "typeform")
STANDARD = ("standard_webhooks", "svix")


def _source(preset: str, **overrides: Any) -> Source:
    if preset == "gohighlevel":
        overrides |= {"parameters": {"location_id": "L1"}}
    return compile_source(preset, overrides)


def _cases() -> list[Any]:
    cases = []
    for preset in SIGNED:
        cases += [
            pytest.param(preset, vector, id=f"{preset} {index} {vector['file']}")
            for index, vector in enumerate(vectors(preset)["vectors"])
            if isinstance(vector.get("valid", True), bool) and vector.get("secret") != ""
        ]
    return cases


@pytest.mark.parametrize(("preset", "vector"), _cases())
def test_a_providers_signature_is_accepted_and_a_false_one_refused(
    preset: str, vector: Mapping[str, Any]
) -> None:
    source = _source(preset)
    if "secret" in vector:
        texts = [vector["secret"]]
    else:
        texts = [vectors(preset)["test_public_key_pem"]] if preset == "gohighlevel" else []
    secrets = source.parse_secrets(texts)
    now_us = vector.get("now", 0) * 1_000_000 or NOW_US
    body = payload(preset, vector["file"])
    result = source.verify(delivery(body, vector["headers"]), secrets, now_us)
    assert result.verified == vector.get("valid", True), (result.reason, vector.get("why"))
    if result.verified:
        _assert_that_forgeries_fail(source, texts, body, vector["headers"], now_us)


def _assert_that_forgeries_fail(
    source: Source, texts: list[str], body: bytes, headers: Mapping[str, str], now_us: int
) -> None:
    def verify(body: bytes, headers: Mapping[str, str], texts: list[str]) -> Verification:
        secrets = source.parse_secrets(texts)
        return source.verify(delivery(body, headers), secrets, now_us)

    assert not verify(body + b" ", headers, texts).verified, "another body"
    unsigned = {name: value for name, value in headers.items() if "sig" not in name.lower()}
    unsigned = {name: value for name, value in unsigned.items() if "hmac" not in name.lower()}
    missing = verify(body, unsigned, texts)
    assert not missing.verified
    assert "missing" in missing.reason
    if "PUBLIC KEY" in texts[0]:
        other = compile_source("gohighlevel", {"parameters": {"location_id": "L1"}})
        result = other.verify(delivery(body, headers), (), now_us)
        assert not result.verified, "the key of the provider did not sign this"
        return
    other_secret = texts[0][:-4] + "0000"
    assert not verify(body, headers, [other_secret]).verified, "another secret"
    assert verify(body, headers, [other_secret, texts[0]]).secret == 1, "rotation: the new secret"
    assert verify(body, headers, [texts[0], other_secret]).secret == 0, "rotation: the old secret"


@pytest.mark.parametrize("preset", SIGNED_BY_HEADER)
def test_form_providers_sign_the_raw_body(preset: str) -> None:
    known = vectors(preset)
    source = _source(preset)
    for name, signature in known["vectors"].items():
        body, headers = payload(preset, name), {known["header"]: signature}
        secrets = source.parse_secrets([known["secret"]])
        assert source.verify(delivery(body, headers), secrets, NOW_US).verified, name
        _assert_that_forgeries_fail(source, [known["secret"]], body, headers, NOW_US)


@pytest.mark.parametrize("preset", STANDARD)
def test_standard_webhooks_as_published_by_its_libraries(preset: str) -> None:
    known = vectors(preset)
    source = _source(preset)
    published = [*known["published"], known["several"]]
    for vector in published:
        times = vector["body"].partition("' * ")[2]
        body = b"a" * int(times) if times else vector["body"].encode()
        secrets = source.parse_secrets([vector.get("secret") or vector["public_key"]])
        now_us = int(vector["timestamp"]) * 1_000_000
        for prefix in ("webhook", "svix"):
            headers = {
                f"{prefix}-id": vector["id"],
                f"{prefix}-timestamp": vector["timestamp"],
                f"{prefix}-signature": vector["signature"],
            }
            result = source.verify(delivery(body, headers), secrets, now_us)
            assert result.verified == vector.get("valid", True), vector["from"]
            forged = source.verify(delivery(body + b" ", headers), secrets, now_us)
            assert not forged.verified, vector["from"]


@pytest.mark.parametrize("preset", STANDARD)
def test_standard_webhooks_sign_each_payload_and_expire(preset: str) -> None:
    files = vectors(preset)["files"]
    source = _source(preset)
    now_us = int(files["timestamp"]) * 1_000_000
    secrets = source.parse_secrets([files["secret"]])
    old_and_new = source.parse_secrets([files["old_secret"], files["secret"]])
    for name, headers in files["headers"].items():
        sent = delivery(payload(preset, name), headers)
        assert source.verify(sent, secrets, now_us).verified, name
        assert source.verify(sent, old_and_new, now_us).secret == 1, name
        for shift_s, is_fresh in ((300, True), (301, False), (-300, True), (-301, False)):
            result = source.verify(sent, secrets, now_us + shift_s * 1_000_000)
            assert result.verified == is_fresh, (name, shift_s, result.reason)


def test_one_header_set_counts_and_sets_are_not_mixed() -> None:
    files = vectors("standard_webhooks")["files"]
    source = _source("standard_webhooks")
    name, headers = next(iter(files["headers"].items()))
    secrets = source.parse_secrets([files["secret"]])
    now_us = int(files["timestamp"]) * 1_000_000
    mixed = {
        "svix-id": headers["webhook-id"],
        "webhook-timestamp": headers["webhook-timestamp"],
        "svix-signature": headers["webhook-signature"],
    }
    sent = delivery(payload("standard_webhooks", name), mixed)
    assert not source.verify(sent, secrets, now_us).verified


def _hubspot(vector: Mapping[str, Any]) -> tuple[dict[str, str], int]:
    if vector["version"] == "v3":
        headers = {
            "X-HubSpot-Signature-v3": vector["signature"],
            "X-HubSpot-Request-Timestamp": vector["timestamp"],
        }
        return headers, int(vector["timestamp"]) * 1_000
    return {
        "X-HubSpot-Signature": vector["signature"],
        "X-HubSpot-Signature-Version": vector["version"],
    }, NOW_US


def test_hubspots_published_signatures() -> None:
    known = vectors("hubspot")
    strict = _source("hubspot")
    legacy = _source("hubspot", scheme={"allow_legacy": True})
    for vector in [*known["published"], *known["third_party_generated"]]:
        body = vector["body"].encode()
        headers, now_us = _hubspot(vector)
        url = vector.get("uri") or vector.get("uri_on_the_wire") or URL
        sent = delivery(body, headers, url=url, method=vector.get("method", "POST"))
        secrets = strict.parse_secrets([vector["secret"]])
        result = legacy.verify(sent, secrets, now_us)
        assert result.verified, (vector, result.reason)
        is_v3 = vector["version"] == "v3"
        assert strict.verify(sent, secrets, now_us).verified == is_v3, "versions 1 and 2 replay"
        if is_v3:
            late = legacy.verify(sent, secrets, now_us + 301_000_000)
            assert not late.verified
            elsewhere = delivery(body, headers, url=url + "x")
            assert "public URL" in legacy.verify(elsewhere, secrets, now_us).reason


def test_a_wrong_version_3_of_hubspot_is_not_saved_by_an_old_signature() -> None:
    known = vectors("hubspot")
    legacy = _source("hubspot", scheme={"allow_legacy": True})
    secrets = legacy.parse_secrets([known["files"]["secret"]])
    for name, signature in known["files"]["v1"].items():
        headers = {"X-HubSpot-Signature": signature, "X-HubSpot-Signature-Version": "v1"}
        body = payload("hubspot", name)
        assert legacy.verify(delivery(body, headers), secrets, NOW_US).verified, name
        v3 = headers | {"X-HubSpot-Signature-v3": "AAAA", "X-HubSpot-Request-Timestamp": "1"}
        assert not legacy.verify(delivery(body, v3), secrets, NOW_US).verified, name


def test_hubspot_signs_each_payload_with_the_public_url() -> None:
    files = vectors("hubspot")["files"]
    source = _source("hubspot")
    secrets = source.parse_secrets(["another-client-secret", files["secret"]])
    for name, signature in files["v3"].items():
        headers = {
            "X-HubSpot-Signature-v3": signature,
            "X-HubSpot-Request-Timestamp": files["timestamp"],
        }
        sent = delivery(payload("hubspot", name), headers, url=files["uri"])
        result = source.verify(sent, secrets, int(files["timestamp"]) * 1_000)
        assert result.secret == 1, (name, result.reason)


def test_a_batch_of_segment_with_an_unsigned_event_is_refused() -> None:
    """Segment signs only the first event of a batch."""
    source = _source("segment")
    secrets = source.parse_secrets(["segment-shared-secret"])
    event, other = b'{"messageId":"1"}', b'{"messageId":"2"}'
    signed = {"X-Signature": hmac.new(secrets[0].key, event, "sha1").hexdigest()}
    assert source.verify(delivery(b"[" + event + b"]", signed), secrets, NOW_US).verified
    batch = delivery(b"[" + event + b"," + other + b"]", signed)
    assert not source.verify(batch, secrets, NOW_US).verified


def test_woocommerces_ping_is_answered_without_a_signature_and_means_nothing() -> None:
    source = _source("woocommerce")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = source.handshake(delivery(payload("woocommerce", "ping.form.txt"), form))
    assert answer is not None
    assert answer.status == 200, "WooCommerce shows an error for any other status"
    order = {"X-WC-Webhook-Topic": "order.updated"}
    assert source.handshake(delivery(b"webhook_id=1", form | order)) is None
    assert source.handshake(delivery(b'{"webhook_id": 1}', order)) is None


def test_pipedrive_sends_a_user_and_a_password() -> None:
    source = _source("pipedrive")
    secrets = source.parse_secrets(["old:password", "username:password"])
    headers = {"Authorization": "Basic dXNlcm5hbWU6cGFzc3dvcmQ="}
    assert source.verify(delivery(b"{}", headers), secrets, NOW_US).secret == 1
    for value in ("Basic dXNlcm5hbWU6cGFzc3dvcmU=", "Bearer x", "Basic", "Basic %%%", ""):
        assert not source.verify(
            delivery(b"{}", {"Authorization": value}), secrets, NOW_US
        ).verified


def test_a_provider_that_signs_nothing_is_authenticated_by_the_path() -> None:
    for preset in ("jotform", "typeform", "tally", "pipedrive", "segment", "calendly"):
        source = _source(preset)
        result = source.verify(delivery(b"{}"), source.parse_secrets([]), NOW_US)
        assert result.verified, preset
        assert "path" in result.reason


@pytest.mark.parametrize("encoding", ["hex", "base64"])
def test_a_label_before_a_signature_is_named_if_the_source_has_no_prefix(encoding: str) -> None:
    scheme = {"type": "hmac", "header": "X-Sig", "encoding": encoding}
    events = {"paid": {"when": "body.paid", "type": "payment.completed"}}

    def reason(signature: str, **prefix: str) -> str:
        source = compile_source("custom", {"scheme": scheme | prefix, "events": events})
        secrets = source.parse_secrets(["secret"])
        return source.verify(delivery(b"{}", {"x-sig": signature}), secrets, NOW_US).reason

    fault = f"the header X-Sig is not {encoding}"
    assert reason("sha256=00ff") == f"{fault}: it begins with sha256=: set `prefix`"
    assert reason("?") == fault
    assert reason("sha256=?", prefix="sha256=") == fault
