"""PayPal's signatures are trusted only with a certificate of PayPal, from PayPal, that is valid."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from tests.support.sources.payloads import NOW_US, delivery, payload
from tests.support.sources.paypal import (
    CERTIFICATE_URL,
    SUBJECT,
    WEBHOOK_ID,
    Authority,
    issue,
    new_authority,
    signed,
)

from goald.sources.compiled import compile_source
from goald.sources.delivery import Delivery

SOURCE = compile_source("paypal", {})
SECRETS = SOURCE.parse_secrets(["ANOTHER1", WEBHOOK_ID])
BODY = payload("paypal", "PAYMENT.CAPTURE.COMPLETED.json")


@pytest.fixture(scope="module")
def root() -> Authority:
    return new_authority()


@pytest.fixture(scope="module")
def leaf(root: Authority) -> Authority:
    return issue(root, SUBJECT)


def _with(sent: Delivery, **headers: str) -> Delivery:
    values: Mapping[str, str] = {name.replace("_", "-"): text for name, text in headers.items()}
    return replace(sent, headers={**sent.headers, **values})


def _reason(sent: Delivery, now_us: int = NOW_US) -> str:
    result = SOURCE.verify(sent, SECRETS, now_us)
    assert not result.verified
    return result.reason


def test_a_signature_with_paypals_certificate_is_verified(root: Authority, leaf: Authority) -> None:
    sent = signed(leaf, root, BODY)
    assert SOURCE.scheme.certificate_url(sent) == CERTIFICATE_URL
    assert SOURCE.verify(sent, SECRETS, NOW_US).secret == 1


def test_a_forged_body_time_or_webhook_is_refused(root: Authority, leaf: Authority) -> None:
    sent = signed(leaf, root, BODY)
    assert "does not match" in _reason(replace(sent, body=BODY + b" "))
    assert "does not match" in _reason(_with(sent, paypal_transmission_time="2026-11-27T20:29:06Z"))
    other = SOURCE.parse_secrets(["ANOTHER1"])
    assert not SOURCE.verify(sent, other, NOW_US).verified
    late_us = NOW_US + 4 * 86_400_000_000
    assert "old" in _reason(sent, late_us)


def test_a_certificate_of_someone_else_is_refused(root: Authority, leaf: Authority) -> None:
    for subject in (f"{SUBJECT}.evil.example", "evil.example"):
        assert "not that of PayPal" in _reason(signed(issue(root, subject), root, BODY))
    assert "not trusted" in _reason(signed(leaf, new_authority(), BODY))
    assert "not trusted" in _reason(signed(issue(root, SUBJECT, until=2026), root, BODY))
    intermediate = issue(leaf, SUBJECT)
    forged = signed(intermediate, root, BODY, certificates=intermediate.pem + leaf.pem)
    assert "not trusted" in _reason(forged), "a leaf must not issue certificates"


@pytest.mark.parametrize(
    "pem", [b"", b"<html>", b"-----BEGIN CERTIFICATE-----\nAAAA\n", b"x" * 70000]
)
def test_a_page_instead_of_a_certificate_is_refused(
    pem: bytes, root: Authority, leaf: Authority
) -> None:
    assert "certificate" in _reason(signed(leaf, root, BODY, certificates=pem))


@pytest.mark.parametrize(
    "url",
    [
        "http://api.paypal.com/v1/notifications/certs/CERT-1",
        "https://api.paypal.com.evil.example/v1/notifications/certs/CERT-1",
        "https://evil.example/v1/notifications/certs/CERT-1?x=api.paypal.com",
        "https://api.paypal.com@evil.example/v1/notifications/certs/CERT-1",
        "https://api.paypal.com:8443/v1/notifications/certs/CERT-1",
        "https://www.paypal.com/v1/notifications/certs/CERT-1",
        "https://api.paypal.com/v1/notifications/certs/../../redirect?u=x",
        "https://api.paypal.com/v1/notifications/certs/CERT-1#x",
        "https://169.254.169.254/v1/notifications/certs/CERT-1",
        "https://api.sandbox.paypal.com/v1/notifications/certs/CERT-1",
        "//api.paypal.com/v1/notifications/certs/CERT-1",
        "https://api.paypal.com/v1/notifications/certs/CERT-1\n",
    ],
)
def test_no_url_but_paypals_is_fetched(url: str, root: Authority, leaf: Authority) -> None:
    sent = _with(signed(leaf, root, BODY), paypal_cert_url=url)
    assert SOURCE.scheme.certificate_url(sent) is None
    assert "PAYPAL-CERT-URL" in _reason(sent)


def test_nothing_is_fetched_for_a_delivery_that_cannot_be_verified(
    root: Authority, leaf: Authority
) -> None:
    sent = signed(leaf, root, BODY)
    for header in ("paypal_auth_algo", "paypal_transmission_sig", "paypal_transmission_id"):
        assert SOURCE.scheme.certificate_url(_with(sent, **{header: "SHA1withRSA"})) is None or (
            header == "paypal_transmission_id"
        )
    assert SOURCE.scheme.certificate_url(delivery(BODY)) is None
    assert "missing headers" in _reason(delivery(BODY))


def test_the_sandbox_has_its_own_hosts_and_certificates(root: Authority) -> None:
    sandbox = compile_source("paypal", {"scheme": {"environment": "sandbox"}})
    subject = "messageverificationcerts.sandbox.paypal.com"
    sent = _with(
        signed(issue(root, subject), root, BODY),
        paypal_cert_url="https://api.sandbox.paypal.com/v1/notifications/certs/CERT-1",
    )
    assert sandbox.verify(sent, SECRETS, NOW_US).verified
    assert not SOURCE.verify(sent, SECRETS, NOW_US).verified
