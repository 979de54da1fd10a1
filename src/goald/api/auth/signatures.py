"""How webhooks are signed: the Standard Webhooks specification, HMAC-SHA256 by a shared
secret over the id, the time and the body (decision 15)."""

import base64
import binascii
import hashlib
import hmac

PREFIX = "whsec_"
SECRET_BYTES = (24, 64)
"""From and to how many bytes a secret has."""
_MAX_ID = 256
_MAX_SIGNATURES = 16


def shown(secret: bytes) -> str:
    """The secret as providers take it."""
    return PREFIX + base64.b64encode(secret).decode()


def parsed(text: str) -> bytes:
    """The secret that `shown` shows. ValueError for anything else."""
    if not text.startswith(PREFIX):
        raise ValueError(f"a secret begins with {PREFIX}")
    try:
        secret = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"what follows {PREFIX} is not base64") from None
    shortest, longest = SECRET_BYTES
    if not shortest <= len(secret) <= longest:
        raise ValueError(f"a secret has {shortest} to {longest} bytes, this one {len(secret)}")
    return secret


def signature(secret: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    """What is to stand in `webhook-signature`."""
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    return "v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()


def is_timely(timestamp: str, now_s: float, window_s: float) -> bool:
    """Whether this header, Unix seconds, is at most the window away, before or after."""
    if not timestamp.isascii() or not timestamp.isdecimal() or len(timestamp) > 12:
        return False
    return abs(now_s - int(timestamp)) <= window_s


def is_signed(secret: bytes, message_id: str, timestamp: str, signatures: str, body: bytes) -> bool:
    """Whether one of these signatures, with spaces between them, is that of the message.
    How long it takes tells nothing of the right one."""
    if not 0 < len(message_id) <= _MAX_ID:
        return False
    right = signature(secret, message_id, timestamp, body).encode()
    given = signatures.split(" ", _MAX_SIGNATURES)[:_MAX_SIGNATURES]
    # All are compared, the right one first or last.
    return sum(hmac.compare_digest(right, one.encode()) for one in given) > 0
