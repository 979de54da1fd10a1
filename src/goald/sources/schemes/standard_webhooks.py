"""Standard Webhooks, also under the header names of Svix: HMAC-SHA256 (`v1`) and Ed25519 (`v1a`)
over the message id, the time and the body."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from goald.domain.credentials.weakness import weakness_of
from goald.domain.errors import InvalidConfiguration
from goald.sources.delivery import Delivery
from goald.sources.schemes.body_hmac import result_of
from goald.sources.schemes.comparison import (
    MAX_HEADER,
    MAX_SIGNATURES,
    decode_base64,
    matching_secret,
    require_text,
)
from goald.sources.schemes.contract import SourceSecret, Verification
from goald.sources.schemes.public_keys import KEY_BYTES, matching_key
from goald.sources.schemes.timestamped import outside_window

MIN_KEY: Final = 24
MAX_KEY: Final = 64
_MAX_ID: Final = 256
_PREFIX: Final = "whsec_"
_PUBLIC: Final = "whpk_"
_PRIVATE: Final = "whsk_"
_SHAPE: Final = (
    "It is whsec_ or v1,whsec_ and base64 of 24 to 64 bytes, or whpk_ and base64 of a public key "
    "of 32 bytes"
)


@dataclass(frozen=True, slots=True)
class StandardWebhooks:
    """`header_prefixes` are tried in order, such as `svix` and `webhook`; the first of which
    there is a header `…-signature` counts, and the sets are never mixed. A header may carry
    several signatures, which is how senders rotate a secret."""

    tolerance_s: int
    header_prefixes: tuple[str, ...] = ("webhook", "svix")
    is_optional: bool = False

    def parse_secret(self, text: str) -> SourceSecret:
        require_text(text, _SHAPE)
        encoded = text.removeprefix("v1,")
        if encoded.startswith(_PRIVATE):
            raise InvalidConfiguration(
                "the secret is the provider's private key (whsk_). Use the public key, which "
                "begins with whpk_"
            )
        if encoded.startswith(_PUBLIC):
            key = decode_base64(encoded.removeprefix(_PUBLIC))
            if key is None or len(key) != KEY_BYTES:
                raise InvalidConfiguration(f"the secret is not a public key. {_SHAPE}")
            return SourceSecret(key, "ed25519")
        key = decode_base64(encoded.removeprefix(_PREFIX))
        if key is None:
            raise InvalidConfiguration(f"the secret is not base64. {_SHAPE}")
        if not MIN_KEY <= len(key) <= MAX_KEY:
            raise InvalidConfiguration(f"the secret has {len(key)} bytes. {_SHAPE}")
        weakness = weakness_of(key)
        if weakness is not None:
            raise InvalidConfiguration(f"the secret is not random: {weakness}")
        return SourceSecret(key)

    def certificate_url(self, delivery: Delivery) -> None:
        return None

    def verify(
        self, delivery: Delivery, secrets: Sequence[SourceSecret], now_us: int
    ) -> Verification:
        prefix = self._prefix(delivery)
        message_id = delivery.header(f"{prefix}-id") or ""
        time = delivery.header(f"{prefix}-timestamp") or ""
        header = delivery.header(f"{prefix}-signature") or ""
        parts = (_ascii(message_id), b".", _ascii(time), b".", delivery.body)
        found = _match(secrets, header, parts)
        if not (message_id and time and header):
            missing = [
                f"{prefix}-{name}"
                for name, value in (("id", message_id), ("timestamp", time), ("signature", header))
                if not value
            ]
            return Verification(False, f"missing headers: {', '.join(missing)}")
        if len(message_id) > _MAX_ID:
            return Verification(False, f"{prefix}-id is longer than {_MAX_ID} characters")
        reason = outside_window(time, 1_000_000, self.tolerance_s, now_us)
        if reason is not None:
            return Verification(False, f"{reason} (header {prefix}-timestamp)")
        return result_of(found, len(secrets), f"{prefix}-signature")

    def _prefix(self, delivery: Delivery) -> str:
        for prefix in self.header_prefixes:
            if delivery.header(f"{prefix}-signature") is not None:
                return prefix
        return self.header_prefixes[0]


def _ascii(text: str) -> bytes:
    """A header's text as its bytes on the wire."""
    return text.encode("latin-1", "replace")


def _match(secrets: Sequence[SourceSecret], header: str, parts: Sequence[bytes]) -> int | None:
    symmetric, asymmetric = _signatures(header)
    hits = []
    for kind, signatures in (("hmac", symmetric), ("ed25519", asymmetric)):
        places = [index for index, secret in enumerate(secrets) if secret.kind == kind]
        chosen = [secrets[index] for index in places]
        if kind == "hmac":
            found = matching_secret(chosen, signatures, parts, "sha256")
        else:
            found = matching_key(chosen, signatures, b"".join(parts)) if chosen else None
        if found is not None:
            hits.append(places[found])
    return min(hits, default=None)


def _signatures(header: str) -> tuple[list[bytes], list[bytes]]:
    """Return the signatures `v1` and `v1a` of a header; other versions do not count."""
    versions: dict[str, list[bytes]] = {"v1": [], "v1a": []}
    if len(header) <= MAX_HEADER:
        for entry in header.split(" ")[:MAX_SIGNATURES]:
            version, _, text = entry.partition(",")
            decoded = decode_base64(text)
            if version in versions and decoded is not None:
                versions[version].append(decoded)
    return versions["v1"], versions["v1a"]
