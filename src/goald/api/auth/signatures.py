"""Webhook signatures as Standard Webhooks defines them: HMAC-SHA256 with a shared secret over the
message id, the timestamp and the body (docs/decisions/0015).

The `standardwebhooks` library signs. It cannot verify here: its `verify` fixes the replay window at
5 minutes and reads the system clock, and needs the whole body as text. `SignatureCheck` takes the
body in parts, as bytes, so that a body can be verified without being in memory.
"""

import base64
import binascii
import hmac
from datetime import UTC, datetime

from standardwebhooks import Webhook

from goald.domain.credentials.weakness import weakness_of

SECRET_PREFIX = "whsec_"  # noqa: S105 -- the prefix of every secret
MIN_SECRET_BYTES = 24
MAX_SECRET_BYTES = 64
_MAX_ID_LENGTH = 256
_MAX_SIGNATURES = 16
_MAX_TIMESTAMP_DIGITS = 12


def format_secret(secret: bytes) -> str:
    """Return the secret in the text form that providers are configured with."""
    return SECRET_PREFIX + base64.b64encode(secret).decode()


def parse_secret(text: str) -> bytes:
    """Return the bytes of a secret in its text form.

    Stricter than the library, which skips characters that are not base64. Raises ValueError
    with a message for the user.
    """
    if not text.startswith(SECRET_PREFIX):
        raise ValueError(f"a secret begins with {SECRET_PREFIX}")
    try:
        secret = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"the part after {SECRET_PREFIX} is not base64") from None
    if not MIN_SECRET_BYTES <= len(secret) <= MAX_SECRET_BYTES:
        raise ValueError(
            f"a secret has {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes, not {len(secret)}"
        )
    weakness = weakness_of(secret)
    if weakness is not None:
        raise ValueError(
            f"the secret is not random: {weakness}. Send no secret, and goald generates one"
        )
    return secret


def sign(secret: bytes, message_id: str, timestamp_s: int, body: bytes) -> str:
    """Return the value of the `webhook-signature` header. Raises ValueError for a body that is
    not UTF-8 and for a timestamp outside the years 1 to 9999."""
    timestamp = datetime.fromtimestamp(timestamp_s, UTC)
    return Webhook(secret).sign(message_id, timestamp, body.decode())


def is_within_window(timestamp: str, now_s: float, window_s: float) -> bool:
    """Return whether a `webhook-timestamp` header, in Unix seconds, is at most `window_s`
    before or after `now_s`. False for anything but whole seconds."""
    if not timestamp.isascii() or not timestamp.isdecimal():
        return False
    if len(timestamp) > _MAX_TIMESTAMP_DIGITS:
        return False
    return abs(now_s - int(timestamp)) <= window_s


class SignatureCheck:
    """The signature that a request with this secret would have. The body is added in parts."""

    def __init__(self, secret: bytes, message_id: str, timestamp: str) -> None:
        """`timestamp`: accepted by `is_within_window`."""
        self._has_id = 0 < len(message_id) <= _MAX_ID_LENGTH
        content = f"{message_id}.{int(timestamp)}.".encode()
        self._digest = hmac.new(secret, content, "sha256")

    def add(self, part: bytes) -> None:
        """Add the next part of the body."""
        self._digest.update(part)

    def matches(self, signatures: str) -> bool:
        """Return whether one of the signatures in a `webhook-signature` header matches.

        `signatures` is separated by spaces; the first 16 count, so that a provider can rotate its
        secret. The time that this takes does not depend on which one matches, or on how much of
        it.
        """
        expected = b"v1," + base64.b64encode(self._digest.digest())
        candidates = signatures.split(" ", _MAX_SIGNATURES)[:_MAX_SIGNATURES]
        # Every candidate is compared, so that the position of the match does not show.
        matches = sum(hmac.compare_digest(expected, each.encode()) for each in candidates)
        return self._has_id and matches > 0
