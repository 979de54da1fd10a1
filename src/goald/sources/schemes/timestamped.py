"""HMAC over a time and the body, both in one header `t=…,v1=…`: Stripe and Calendly."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from goald.sources.delivery import Delivery
from goald.sources.schemes.body_hmac import UNSIGNED, result_of
from goald.sources.schemes.comparison import (
    MAX_HEADER,
    MAX_SIGNATURES,
    decode_signature,
    matching_secret,
    require_prefix,
    require_text,
)
from goald.sources.schemes.contract import SourceSecret, Verification

_SECOND_US: Final = 1_000_000
_MAX_DIGITS: Final = 16


@dataclass(frozen=True, slots=True)
class TimestampedHmac:
    """`header` is `t=<Unix seconds>,v1=<hex>`, with one `v1` for each secret of the provider.
    Signed are the digits of `t`, a full stop and the body. Other names, such as Stripe's `v0`, do
    not count. The secret is used as it is shown, with its prefix."""

    header: str
    tolerance_s: int
    secret_prefix: str = ""
    is_optional: bool = False

    def parse_secret(self, text: str) -> SourceSecret:
        shape = (
            f"It begins with {self.secret_prefix}"
            if self.secret_prefix
            else "Copy it from the provider as it is shown there"
        )
        require_text(text, shape)
        require_prefix(text, self.secret_prefix)
        return SourceSecret(text.encode())

    def certificate_url(self, delivery: Delivery) -> None:
        return None

    def verify(
        self, delivery: Delivery, secrets: Sequence[SourceSecret], now_us: int
    ) -> Verification:
        if not secrets and self.is_optional:
            return UNSIGNED
        value = delivery.header(self.header)
        time, signatures = _entries(value or "")
        parts = (time.encode(), b".", delivery.body)
        found = matching_secret(secrets, signatures, parts, "sha256")
        if not value:
            return Verification(False, f"the header {self.header} is missing")
        if not signatures:
            return Verification(False, f"the header {self.header} has no signature v1")
        reason = outside_window(time, _SECOND_US, self.tolerance_s, now_us)
        if reason is not None:
            return Verification(False, f"{reason} (header {self.header})")
        return result_of(found, len(secrets), self.header)


def outside_window(text: str, unit_us: int, tolerance_s: int, now_us: int) -> str | None:
    """Return why a time, in digits of `unit_us` microseconds since the Unix epoch, is not within
    the replay window; None if it is at most `tolerance_s` before or after `now_us`."""
    if not (text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS):
        return "the signature has no time"
    age_s = (now_us - int(text) * unit_us) / _SECOND_US
    if age_s > tolerance_s:
        return f"the signature is {age_s:.0f} s old, more than {tolerance_s} s: a replay, or late"
    if age_s < -tolerance_s:
        return (
            f"the time of the signature is {-age_s:.0f} s ahead, more than {tolerance_s} s: check "
            "the clock of this host"
        )
    return None


def _entries(value: str) -> tuple[str, list[bytes]]:
    """Return the time and the `v1` signatures of a header."""
    time = ""
    signatures: list[bytes] = []
    if len(value) > MAX_HEADER:
        return time, signatures
    for entry in value.split(","):
        name, _, text = entry.strip().partition("=")
        if name == "t" and not time:
            time = text
        elif name == "v1" and len(signatures) < MAX_SIGNATURES:
            decoded = decode_signature(text, "hex")
            if decoded is not None:
                signatures.append(decoded)
    return time, signatures
