"""Schemes without a signature: HTTP Basic, bearer tokens, and the key in the path alone."""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from goald.domain.errors import InvalidConfiguration
from goald.sources.delivery import Delivery
from goald.sources.schemes.body_hmac import UNSIGNED
from goald.sources.schemes.comparison import MAX_HEADER, decode_base64, require_text
from goald.sources.schemes.contract import SourceSecret, Verification

_PAIR: Final = "It is `user:password`"
_BEARER: Final = "It is the token without `Bearer`"


@dataclass(frozen=True, slots=True)
class HeaderToken:
    """The provider sends a secret itself. `basic` and `bearer` are forms of `Authorization`;
    `plain` is the whole value of `header`."""

    form: Literal["basic", "bearer", "plain"]
    header: str = "Authorization"
    is_optional: bool = False

    def parse_secret(self, text: str) -> SourceSecret:
        require_text(text, _PAIR if self.form == "basic" else _BEARER)
        if self.form == "basic" and ":" not in text:
            raise InvalidConfiguration(f"the secret has no colon. {_PAIR}")
        if self.form == "bearer" and (" " in text or not text.isascii()):
            raise InvalidConfiguration(f"the secret is not a token. {_BEARER}")
        return SourceSecret(text.encode(), "password")

    def certificate_url(self, delivery: Delivery) -> None:
        return None

    def verify(
        self, delivery: Delivery, secrets: Sequence[SourceSecret], now_us: int
    ) -> Verification:
        if not secrets and self.is_optional:
            return UNSIGNED
        value = delivery.header(self.header) or ""
        presented = self._presented(value)
        # Digests are compared, so that the length of a secret does not show.
        digest = hashlib.sha256(presented or b"").digest()
        matches = [
            hmac.compare_digest(hashlib.sha256(secret.key).digest(), digest) for secret in secrets
        ]
        if not value:
            return Verification(False, f"the header {self.header} is missing")
        if presented is None:
            return Verification(False, f"the header {self.header} has not the form {self.form}")
        if any(matches):
            found = matches.index(True)
            return Verification(True, f"the header matches secret {found + 1}", found)
        if not secrets:
            return Verification(False, "the source has no secret to compare with")
        return Verification(False, f"the header {self.header} does not match the secret")

    def _presented(self, value: str) -> bytes | None:
        if not value or len(value) > MAX_HEADER:
            return None
        if self.form == "plain":
            return value.encode("latin-1", "replace")
        scheme, _, credentials = value.partition(" ")
        if scheme.lower() != self.form:
            return None
        if self.form == "basic":
            return decode_base64(credentials.strip())
        return credentials.strip().encode("latin-1", "replace") or None


@dataclass(frozen=True, slots=True)
class PathKey:
    """The provider signs nothing: the key in the path authenticates, which the receiver has
    compared already."""

    is_optional: bool = True

    def parse_secret(self, text: str) -> SourceSecret:
        raise InvalidConfiguration(
            "this source signs nothing, so a secret cannot be checked: leave `secrets` out. The "
            "key in the path authenticates the provider"
        )

    def certificate_url(self, delivery: Delivery) -> None:
        return None

    def verify(
        self, delivery: Delivery, secrets: Sequence[SourceSecret], now_us: int
    ) -> Verification:
        return UNSIGNED
