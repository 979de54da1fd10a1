"""PayPal's signatures: RSA over the ids, the time and a CRC-32 of the body, with a certificate that
the receiver fetches from PayPal."""

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from goald.domain.errors import InvalidConfiguration
from goald.sources.delivery import Delivery
from goald.sources.schemes.comparison import decode_base64, require_text
from goald.sources.schemes.contract import SourceSecret, Verification

MAX_CERTIFICATES: Final = 8
MAX_PEM: Final = 65_536
_MIN_KEY_BITS: Final = 2048
_HOSTS: Final = {
    "live": ("api.paypal.com", "api-m.paypal.com"),
    "sandbox": (
        "api.sandbox.paypal.com",
        "api-m.sandbox.paypal.com",
        "api.paypal.com",
        "api-m.paypal.com",
    ),
}
_SUBJECTS: Final = {
    "live": ("messageverificationcerts.paypal.com",),
    "sandbox": (
        "messageverificationcerts.sandbox.paypal.com",
        "messageverificationcerts.paypal.com",
    ),
}
_PATH: Final = re.compile(r"/v1/notifications/certs/CERT-[A-Za-z0-9-]{1,128}", re.ASCII)
_URL: Final = re.compile(r"https://[a-z0-9.-]{1,64}/[A-Za-z0-9/-]{1,256}", re.ASCII)
_WEBHOOK_ID: Final = re.compile(r"[A-Za-z0-9]{1,50}", re.ASCII)
_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,6})?Z", re.ASCII)
_ID: Final = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
_ALGORITHM: Final = "SHA256withRSA"


@dataclass(frozen=True, slots=True)
class PayPalSignature:
    """The secret is the webhook's id of PayPal's dashboard. It is no secret: the certificate makes
    the signature, and the id binds it to one webhook.

    CRC-32 is no hash: with one signed delivery an attacker can construct another body of the same
    checksum. TLS keeps deliveries from them, and the replay window bounds their use. No part
    is secret, so a delivery that fails early costs less than another.
    """

    environment: Literal["live", "sandbox"]
    tolerance_s: int
    is_optional: bool = False

    def parse_secret(self, text: str) -> SourceSecret:
        shape = "It is the id of the webhook in PayPal's dashboard, such as 4JH86294D6297924G"
        require_text(text, shape)
        if not _WEBHOOK_ID.fullmatch(text):
            raise InvalidConfiguration(f"the secret is not a webhook id. {shape}")
        return SourceSecret(text.encode(), "webhook_id")

    def certificate_url(self, delivery: Delivery) -> str | None:
        """Return the URL of the certificate of a delivery; None if the delivery need not be
        verified at all, because a header is missing or the URL is not PayPal's.

        The receiver fetches it over verified TLS, follows no redirect, reads at most MAX_PEM
        bytes, and keeps it by URL."""
        url = delivery.header("paypal-cert-url") or ""
        if not _URL.fullmatch(url) or self._fault(delivery) is not None:
            return None
        parts = urlsplit(url)
        is_known = parts.netloc in _HOSTS[self.environment] and _PATH.fullmatch(parts.path)
        return url if is_known else None

    def verify(
        self, delivery: Delivery, secrets: Sequence[SourceSecret], now_us: int
    ) -> Verification:
        fault = self._fault(delivery)
        if fault is not None:
            return Verification(False, fault)
        if self.certificate_url(delivery) is None:
            return Verification(False, "PAYPAL-CERT-URL is not a URL of PayPal's certificates")
        sent_at = delivery.header("paypal-transmission-time") or ""
        fault = _outside_window(sent_at, self.tolerance_s, now_us)
        if fault is not None:
            return Verification(False, fault)
        if not delivery.certificates:
            return Verification(False, "PayPal's certificate could not be fetched")
        now = datetime.fromtimestamp(now_us // 1_000_000, UTC)
        key = _trusted_key(delivery, _SUBJECTS[self.environment], now)
        if isinstance(key, str):
            return Verification(False, key)
        return self._check(delivery, secrets, key)

    def _check(
        self, delivery: Delivery, secrets: Sequence[SourceSecret], key: RSAPublicKey
    ) -> Verification:
        signature = decode_base64(delivery.header("paypal-transmission-sig") or "") or b""
        transmission = delivery.header("paypal-transmission-id") or ""
        sent_at = delivery.header("paypal-transmission-time") or ""
        checksum = zlib.crc32(delivery.body)
        matches = []
        for secret in secrets:
            text = f"{transmission}|{sent_at}|{secret.key.decode()}|{checksum}"
            matches.append(_verifies(key, signature, text.encode()))
        if any(matches):
            found = matches.index(True)
            return Verification(True, f"the signature matches webhook id {found + 1}", found)
        return Verification(
            False,
            "the signature in PAYPAL-TRANSMISSION-SIG does not match: the webhook id is another, "
            "a proxy changed the body, or PayPal's simulator sent it",
        )

    def _fault(self, delivery: Delivery) -> str | None:
        """Why a delivery cannot be verified, from its headers alone."""
        names = ("id", "time", "sig")
        missing = [
            f"PAYPAL-TRANSMISSION-{name.upper()}"
            for name in names
            if not delivery.header(f"paypal-transmission-{name}")
        ]
        if missing:
            return f"missing headers: {', '.join(missing)}"
        if delivery.header("paypal-auth-algo") != _ALGORITHM:
            return f"PAYPAL-AUTH-ALGO is not {_ALGORITHM}"
        if not _ID.fullmatch(delivery.header("paypal-transmission-id") or ""):
            return "PAYPAL-TRANSMISSION-ID is not an id"
        if len(decode_base64(delivery.header("paypal-transmission-sig") or "") or b"") < 256:
            return "PAYPAL-TRANSMISSION-SIG is not a signature"
        return None


def _outside_window(sent_at: str, tolerance_s: int, now_us: int) -> str | None:
    try:
        time = datetime.fromisoformat(sent_at) if _TIME.fullmatch(sent_at) else None
    except ValueError:
        time = None
    if time is None:
        return "PAYPAL-TRANSMISSION-TIME is not a time"
    age = datetime.fromtimestamp(now_us // 1_000_000, UTC) - time
    if abs(age) > timedelta(seconds=tolerance_s):
        return f"the signature is {age.total_seconds():.0f} s old: a replay, or a wrong clock"
    return None


def _trusted_key(delivery: Delivery, subjects: Sequence[str], now: datetime) -> RSAPublicKey | str:
    """Return the public key of the leaf certificate, if a trusted root issued it for one of the
    subjects and it is valid now; else the reason why it is not trusted."""
    if len(delivery.certificates) > MAX_PEM:
        return "PayPal's certificate is too large"
    try:
        chain = x509.load_pem_x509_certificates(delivery.certificates)[:MAX_CERTIFICATES]
        roots = x509.load_pem_x509_certificates(delivery.trusted_roots)
    except ValueError:
        return "PayPal's certificate, or the file of trusted roots, is not PEM"
    leaf = chain[0]
    names = leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(names) != 1 or names[0].value not in subjects:
        return "the certificate is not that of PayPal's webhooks"
    fault = _chain_fault(leaf, chain[1:], roots, str(names[0].value), now)
    if fault is not None:
        return fault
    key = leaf.public_key()
    if not isinstance(key, RSAPublicKey) or key.key_size < _MIN_KEY_BITS:
        return "the certificate has not an RSA key of 2048 bits or more"
    return key


def _chain_fault(
    leaf: x509.Certificate,
    chain: list[x509.Certificate],
    roots: list[x509.Certificate],
    subject: str,
    now: datetime,
) -> str | None:
    # The signature of a webhook is not TLS, so the leaf needs no more than its name.
    leaf_policy = ExtensionPolicy.permit_all().require_present(
        x509.SubjectAlternativeName, Criticality.AGNOSTIC, None
    )
    policy = (
        PolicyBuilder()
        .store(Store(roots))
        .time(now)
        .extension_policies(ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=leaf_policy)
    )
    try:
        policy.build_server_verifier(x509.DNSName(subject)).verify(leaf, chain)
    except VerificationError as error:
        return f"the certificate is not trusted: {str(error).partition('(')[0].strip()[:200]}"
    except ValueError:
        return "the certificate is malformed"
    return None


def _verifies(key: RSAPublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message, PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True
