"""The headers that providers sign their deliveries with, computed from their documentation and
independently of goald's verification."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

WHSEC = "whsec_" + base64.b64encode(hashlib.sha256(b"one").digest()).decode()
OTHER_WHSEC = "whsec_" + base64.b64encode(hashlib.sha256(b"two").digest()).decode()
_ED25519 = {name: Ed25519PrivateKey.from_private_bytes(bytes([name]) * 32) for name in (1, 2)}


@dataclass(frozen=True)
class Request:
    """The parts of a request that a provider signs."""

    body: bytes
    at_s: int
    url: str
    secret: str


Sign = Callable[[Request], dict[str, str]]


@dataclass(frozen=True)
class Signer:
    """How one provider signs, with two secrets."""

    secret: str
    other_secret: str
    sign: Sign
    has_time: bool = False
    """Whether a delivery becomes stale."""


def _hmac(key: bytes, message: bytes, algorithm: str = "sha256") -> bytes:
    return hmac.digest(key, message, algorithm)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _timestamped(header: str) -> Sign:
    def sign(sent: Request) -> dict[str, str]:
        message = f"{sent.at_s}.".encode() + sent.body
        return {header: f"t={sent.at_s},v1={_hmac(sent.secret.encode(), message).hex()}"}

    return sign


def _base64_hmac(header: str, prefix: str = "") -> Sign:
    return lambda sent: {header: prefix + _base64(_hmac(sent.secret.encode(), sent.body))}


def _hubspot(sent: Request) -> dict[str, str]:
    time = str(sent.at_s * 1_000)
    message = b"POST" + sent.url.encode() + sent.body + time.encode()
    return {
        "X-HubSpot-Signature-v3": _base64(_hmac(sent.secret.encode(), message)),
        "X-HubSpot-Request-Timestamp": time,
    }


def _segment(sent: Request) -> dict[str, str]:
    body = sent.body
    if body.lstrip().startswith(b"["):
        body = json.dumps(json.loads(body)[0], separators=(",", ":"), ensure_ascii=False).encode()
    return {"X-Signature": _hmac(sent.secret.encode(), body, "sha1").hex()}


def _standard(prefix: str) -> Sign:
    def sign(sent: Request) -> dict[str, str]:
        message_id = "msg_" + hashlib.sha256(sent.body).hexdigest()[:24]
        key = base64.b64decode(sent.secret.removeprefix("whsec_"))
        message = f"{message_id}.{sent.at_s}.".encode() + sent.body
        return {
            f"{prefix}-id": message_id,
            f"{prefix}-timestamp": str(sent.at_s),
            f"{prefix}-signature": "v1," + _base64(_hmac(key, message)),
        }

    return sign


def _public(key: Ed25519PrivateKey) -> str:
    return _base64(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def _ed25519(sent: Request) -> dict[str, str]:
    key = next(key for key in _ED25519.values() if _public(key) == sent.secret)
    return {"X-GHL-Signature": _base64(key.sign(sent.body))}


def _bearer(sent: Request) -> dict[str, str]:
    return {"Authorization": f"Bearer {sent.secret}"}


def _basic(sent: Request) -> dict[str, str]:
    return {"Authorization": "Basic " + _base64(sent.secret.encode())}


SIGNERS: dict[str, Signer] = {
    "calcom": Signer(
        "cal-secret",
        "cal-other",
        lambda sent: {"X-Cal-Signature-256": _hmac(sent.secret.encode(), sent.body).hex()},
    ),
    "calendly": Signer(
        "calendly-key", "calendly-other", _timestamped("Calendly-Webhook-Signature"), has_time=True
    ),
    "cloudevents": Signer("token-1", "token-2", _bearer),
    "gohighlevel": Signer(_public(_ED25519[1]), _public(_ED25519[2]), _ed25519),
    "gohighlevel_workflow": Signer("token-1", "token-2", _bearer),
    "hubspot": Signer("client-secret", "client-other", _hubspot, has_time=True),
    "pipedrive": Signer("user:password", "user:other", _basic),
    "segment": Signer("segment-secret", "segment-other", _segment),
    "shopify": Signer("shpss_one", "shpss_two", _base64_hmac("X-Shopify-Hmac-Sha256")),
    "standard_webhooks": Signer(WHSEC, OTHER_WHSEC, _standard("webhook"), has_time=True),
    "stripe": Signer("whsec_one", "whsec_two", _timestamped("Stripe-Signature"), has_time=True),
    "svix": Signer(WHSEC, OTHER_WHSEC, _standard("svix"), has_time=True),
    "tally": Signer("tally-secret", "tally-other", _base64_hmac("Tally-Signature")),
    "typeform": Signer(
        "typeform-secret", "typeform-other", _base64_hmac("Typeform-Signature", "sha256=")
    ),
    "woocommerce": Signer("woo-secret", "woo-other", _base64_hmac("X-WC-Webhook-Signature")),
}
"""By preset. PayPal signs with a certificate (tests/support/sources/paypal.py), and Jotform not at
all."""
