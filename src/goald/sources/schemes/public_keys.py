"""Ed25519 signatures: of Standard Webhooks (`v1a`), and over the raw body (HighLevel)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from goald.domain.errors import InvalidConfiguration
from goald.sources.delivery import Delivery
from goald.sources.schemes.body_hmac import result_of
from goald.sources.schemes.comparison import decode_base64, require_text
from goald.sources.schemes.contract import SourceSecret, Verification

KEY_BYTES: Final = 32
_SIGNATURE_BYTES: Final = 64
_SPKI: Final = bytes.fromhex("302a300506032b6570032100")
"""The bytes before the 32 of an Ed25519 key in the form of PEM files (RFC 8410)."""
_ARMOR: Final = re.compile(r"-----(?:BEGIN|END) PUBLIC KEY-----|\\n|\s")
_SHAPE: Final = "It is an Ed25519 public key: PEM, or base64"


def matching_key(
    keys: Sequence[SourceSecret], signatures: Sequence[bytes], message: bytes
) -> int | None:
    """Return the position of the first public key that verifies one of the signatures; None if
    none does. Every key is tried with every signature, or with a false one if there is none."""
    found: int | None = None
    for index, key in enumerate(keys):
        public = Ed25519PublicKey.from_public_bytes(key.key)
        results = [
            _verifies(public, signature, message)
            for signature in signatures or (bytes(_SIGNATURE_BYTES),)
        ]
        if any(results) and found is None:
            found = index
    return found


def _verifies(key: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


@dataclass(frozen=True, slots=True)
class BodyEd25519:
    """`header` is base64 of the signature over the raw body. The provider has one key pair for
    all its customers: the signature shows the sender of a delivery, not its recipient.
    `public_keys` are the provider's; secrets of a source replace them."""

    header: str
    public_keys: tuple[SourceSecret, ...] = ()

    @property
    def is_optional(self) -> bool:
        return bool(self.public_keys)

    def parse_secret(self, text: str) -> SourceSecret:
        return public_key(text)

    def certificate_url(self, delivery: Delivery) -> None:
        return None

    def verify(
        self, delivery: Delivery, secrets: Sequence[SourceSecret], now_us: int
    ) -> Verification:
        keys = secrets or self.public_keys
        value = delivery.header(self.header)
        decoded = decode_base64(value, padded=True) if value else None
        found = matching_key(keys, [decoded] if decoded else [], delivery.body)
        if not value:
            return Verification(False, f"the header {self.header} is missing")
        if decoded is None:
            return Verification(False, f"the header {self.header} is not base64")
        if found is not None and not secrets:
            return Verification(True, "the signature matches the provider's public key")
        return result_of(found, len(keys), self.header)


def public_key(text: str) -> SourceSecret:
    """Return an Ed25519 public key of PEM or base64 text. Raises InvalidConfiguration."""
    encoded = _ARMOR.sub("", text)
    require_text(encoded, _SHAPE)
    decoded = decode_base64(encoded)
    key = decoded.removeprefix(_SPKI) if decoded else b""
    if len(key) != KEY_BYTES:
        raise InvalidConfiguration(f"the secret is not a public key. {_SHAPE}")
    return SourceSecret(key, "ed25519")
