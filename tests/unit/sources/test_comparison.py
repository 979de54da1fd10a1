"""Verification does the same work for every delivery, so that its time shows nothing."""

import hashlib
import hmac
from collections.abc import Sequence

import pytest
from tests.support.sources.payloads import NOW_US, delivery

from goald.sources.schemes import comparison
from goald.sources.schemes.body_hmac import BodyHmac
from goald.sources.schemes.contract import Scheme, SourceSecret
from goald.sources.schemes.hubspot import HubSpotSignature
from goald.sources.schemes.standard_webhooks import StandardWebhooks
from goald.sources.schemes.timestamped import TimestampedHmac

SECRETS = [SourceSecret(bytes([index]) * 32) for index in range(3)]
BODY = b"x" * 1000
SIGNATURE = comparison.hmac_of(SECRETS[1], "sha256", (BODY,)).hex()

SCHEMES: dict[str, tuple[Scheme, Sequence[dict[str, str]]]] = {
    "hmac": (
        BodyHmac("X-Sig", "hex"),
        ({"X-Sig": SIGNATURE}, {"X-Sig": "00" * 32}, {"X-Sig": "no"}, {}),
    ),
    "timestamped": (
        TimestampedHmac("X-Sig", 300),
        ({"X-Sig": f"t=1,v1={SIGNATURE}"}, {"X-Sig": "t=9"}, {"X-Sig": "?"}, {}),
    ),
    "standard webhooks": (
        StandardWebhooks(300),
        ({"webhook-id": "a", "webhook-timestamp": "1", "webhook-signature": "v1,AAAA"}, {}),
    ),
    "hubspot": (
        HubSpotSignature(300),
        ({"X-HubSpot-Signature-v3": "AAAA"}, {"X-HubSpot-Signature": "00"}, {}),
    ),
}


@pytest.mark.parametrize("name", SCHEMES)
def test_every_secret_is_used_for_every_delivery(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheme, headers = SCHEMES[name]
    used: list[bytes] = []
    update = hmac.new

    def record(key: bytes, digestmod: str) -> object:
        used.append(key)
        return update(key, digestmod=digestmod)

    plain = hashlib.sha256

    def record_plain(data: bytes) -> object:
        used.append(data[:32])
        return plain(data)

    monkeypatch.setattr(hmac, "new", record)
    monkeypatch.setattr(hashlib, "sha256", record_plain)
    for each in headers:
        used.clear()
        scheme.verify(delivery(BODY, each), SECRETS, NOW_US)
        assert used == [secret.key for secret in SECRETS], each


def test_all_signatures_are_compared_and_the_first_match_is_named() -> None:
    right = comparison.hmac_of(SECRETS[0], "sha256", (BODY,))
    calls = []

    def digest(secret: SourceSecret, algorithm: str, parts: Sequence[bytes]) -> bytes:
        calls.append(secret)
        return comparison.hmac_of(secret, algorithm, parts)

    found = comparison.matching_secret(SECRETS, [b"no", right], (BODY,), "sha256", digest)
    assert (found, len(calls)) == (0, 3)
