"""HMAC over the raw body in one header: Shopify, WooCommerce, Typeform, Tally, Cal.com, Segment."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from goald.domain.errors import InvalidConfiguration
from goald.sources.delivery import Delivery
from goald.sources.schemes.comparison import (
    Algorithm,
    Encoding,
    decode_base64,
    decode_signature,
    matching_secret,
    require_text,
)
from goald.sources.schemes.contract import SourceSecret, Verification

KeyForm = Literal["text", "hex", "base64"]
"""How the provider shows the key: as the characters themselves, or encoded."""
Signed = Literal["body", "single_element"]
"""`single_element`: a body that is a JSON array is signed as its only element (Segment)."""

UNSIGNED: Final = Verification(True, "the source has no secret: the key in the path authenticates")
"""The result of an optional scheme without a secret."""
_SHAPES: Final = {
    "text": "Copy it from the provider as it is shown there",
    "hex": "It consists of hexadecimal digits, two for each byte",
    "base64": "It is base64",
}
_LABELS: Final = tuple(f"{name}=" for name in get_args(Algorithm))
"""Labels that some providers write before a signature."""


@dataclass(frozen=True, slots=True)
class BodyHmac:
    """`header` is the encoded HMAC of the body, after `prefix` if there is one. There is no time
    in it, so there is no replay window."""

    header: str
    encoding: Encoding
    prefix: str = ""
    algorithm: Algorithm = "sha256"
    key_form: KeyForm = "text"
    signed: Signed = "body"
    is_optional: bool = False

    def parse_secret(self, text: str) -> SourceSecret:
        shape = _SHAPES[self.key_form]
        require_text(text, shape)
        if self.key_form == "text":
            return SourceSecret(text.encode())
        key = decode_base64(text) if self.key_form == "base64" else decode_signature(text, "hex")
        if not key:
            raise InvalidConfiguration(f"the secret is not {self.key_form}. {shape}")
        return SourceSecret(key)

    def certificate_url(self, delivery: Delivery) -> None:
        return None

    def verify(
        self, delivery: Delivery, secrets: Sequence[SourceSecret], now_us: int
    ) -> Verification:
        if not secrets and self.is_optional:
            return UNSIGNED
        signature, reason = self._signature(delivery)
        found = matching_secret(secrets, signature, self._parts(delivery), self.algorithm)
        if reason is not None:
            return Verification(False, reason)
        return result_of(found, len(secrets), self.header)

    def _signature(self, delivery: Delivery) -> tuple[list[bytes], str | None]:
        value = delivery.header(self.header)
        if not value:
            return [], f"the header {self.header} is missing: the provider did not sign the request"
        if not value.startswith(self.prefix):
            return [], f"the header {self.header} does not begin with {self.prefix}"
        text = value.removeprefix(self.prefix)
        decoded = decode_signature(text, self.encoding)
        if decoded is not None:
            return [decoded], None
        reason = f"the header {self.header} is not {self.encoding}"
        label = next((each for each in _LABELS if text.startswith(each)), None)
        if label is not None and not self.prefix:
            reason += f": it begins with {label}: set `prefix`"
        return [], reason

    def _parts(self, delivery: Delivery) -> Sequence[bytes]:
        body = delivery.body
        if self.signed == "single_element" and body[:1] == b"[" and body[-1:] == b"]":
            return (body[1:-1].strip(),)
        return (body,)


def result_of(found: int | None, secrets: int, header: str) -> Verification:
    """The result after the comparison with all the secrets."""
    if found is not None:
        return Verification(True, f"the signature matches secret {found + 1}", found)
    if secrets == 0:
        return Verification(False, "the source has no secret to check the signature with")
    tried = "the secret" if secrets == 1 else f"any of the {secrets} secrets"
    return Verification(
        False,
        f"the signature in {header} does not match {tried}: the provider uses another "
        "secret, or a proxy changed the body",
    )
