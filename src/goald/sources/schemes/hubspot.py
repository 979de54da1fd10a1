"""HubSpot's signatures: version 3, and versions 1 and 2 if a source allows them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from goald.sources.delivery import Delivery
from goald.sources.schemes.body_hmac import result_of
from goald.sources.schemes.comparison import (
    decode_signature,
    matching_secret,
    require_text,
    sha256_of,
)
from goald.sources.schemes.contract import SourceSecret, Verification
from goald.sources.schemes.timestamped import outside_window

_V3: Final = "X-HubSpot-Signature-v3"
_TIME: Final = "X-HubSpot-Request-Timestamp"
_LEGACY: Final = "X-HubSpot-Signature"
_VERSION: Final = "X-HubSpot-Signature-Version"
_TIME_DIGITS: Final = 13
_DECODED: Final = {quote(char, safe=""): char for char in ":/?@!$'()*,;"}
"""The escapes in a URL that HubSpot decodes before it signs; it decodes no others."""


@dataclass(frozen=True, slots=True)
class HubSpotSignature:
    """The secret is the app's client secret. Signed are the method, the public URL, the body and,
    in version 3, the time.

    Versions 1 and 2 are plain hashes without a time, so they can be replayed. `allow_legacy`
    accepts them, and only in a delivery that has no header of version 3.
    """

    tolerance_s: int
    allow_legacy: bool = False
    is_optional: bool = False

    def parse_secret(self, text: str) -> SourceSecret:
        shape = "It is the client secret of the app, not its access token"
        return SourceSecret(require_text(text, shape).encode())

    def certificate_url(self, delivery: Delivery) -> None:
        return None

    def verify(
        self, delivery: Delivery, secrets: Sequence[SourceSecret], now_us: int
    ) -> Verification:
        if delivery.header(_V3) is None and delivery.header(_LEGACY) is not None:
            return self._verify_legacy(delivery, secrets)
        value, time = delivery.header(_V3), delivery.header(_TIME) or ""
        decoded = decode_signature(value or "", "base64")
        url = _decode_url(delivery.url)
        parts = (delivery.method.encode(), url.encode(), delivery.body, time.encode())
        found = matching_secret(secrets, [decoded] if decoded else [], parts, "sha256")
        if not value:
            return Verification(False, f"the header {_V3} is missing")
        if decoded is None:
            return Verification(False, f"the header {_V3} is not base64")
        if len(time) != _TIME_DIGITS:
            return Verification(False, f"the header {_TIME} is missing or not in milliseconds")
        reason = outside_window(time, 1_000, self.tolerance_s, now_us)
        if reason is not None:
            return Verification(False, f"{reason} (header {_TIME})")
        return _with_url(result_of(found, len(secrets), _V3), delivery.url)

    def _verify_legacy(self, delivery: Delivery, secrets: Sequence[SourceSecret]) -> Verification:
        version = delivery.header(_VERSION) or "v1"
        decoded = decode_signature(delivery.header(_LEGACY) or "", "hex")
        request = (delivery.method.encode(), delivery.url.encode()) if version == "v2" else ()
        found = matching_secret(
            secrets, [decoded] if decoded else [], (*request, delivery.body), "", sha256_of
        )
        if not self.allow_legacy:
            return Verification(
                False,
                f"HubSpot sent a signature of version {version[:8]}, which has no time and can be "
                "replayed. Set `allow_legacy` in the source's scheme to accept it",
            )
        if version not in ("v1", "v2"):
            return Verification(False, f"unknown version of the signature in {_VERSION}")
        result = result_of(found, len(secrets), _LEGACY)
        return _with_url(result, delivery.url) if version == "v2" else result


def _with_url(result: Verification, url: str) -> Verification:
    if result.verified:
        return result
    base = url.split("?", 1)[0].rsplit("/", 1)[0]
    return Verification(
        False, f"{result.reason}, or the public URL is not the one below {base}/ (setting)"
    )


def _decode_url(url: str) -> str:
    for encoded, char in _DECODED.items():
        url = url.replace(encoded, char).replace(encoded.lower(), char)
    return url
