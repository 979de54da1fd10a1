"""Comparison of signatures in constant time, and the text forms of signatures and secrets."""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from typing import Final, Literal

from goald.domain.errors import InvalidConfiguration
from goald.sources.schemes.contract import SourceSecret

Algorithm = Literal["sha1", "sha256", "sha512"]
Encoding = Literal["hex", "base64"]

MAX_SIGNATURES: Final = 16
"""Signatures of one header that are compared; providers that rotate a secret send two."""
MAX_HEADER: Final = 4096
"""Characters of a header that holds signatures."""
MAX_SECRET: Final = 1024

_HEX: Final = re.compile(r"(?:[0-9a-f]{2})+", re.ASCII | re.IGNORECASE)
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}", re.ASCII)


def hmac_of(secret: SourceSecret, algorithm: str, parts: Sequence[bytes]) -> bytes:
    """Return the HMAC of the parts, one after the other."""
    digest = hmac.new(secret.key, digestmod=algorithm)
    for part in parts:
        digest.update(part)
    return digest.digest()


def sha256_of(secret: SourceSecret, _algorithm: str, parts: Sequence[bytes]) -> bytes:
    """Return the plain SHA-256 of the secret and the parts, one after the other."""
    return hashlib.sha256(b"".join((secret.key, *parts))).digest()


def matching_secret(
    secrets: Sequence[SourceSecret],
    signatures: Sequence[bytes],
    parts: Sequence[bytes],
    algorithm: str,
    digest_of: Callable[[SourceSecret, str, Sequence[bytes]], bytes] = hmac_of,
) -> int | None:
    """Return the position of the first secret that made one of the signatures; None if none did.

    Every secret is used and every signature is compared, so that neither a match nor its place
    shows in the time. Without a signature each digest is computed all the same.
    """
    found: int | None = None
    for index, secret in enumerate(secrets):
        expected = digest_of(secret, algorithm, parts)
        matches = [hmac.compare_digest(expected, each) for each in signatures or (b"",)]
        if any(matches) and found is None:
            found = index
    return found


def decode_signature(text: str, encoding: Encoding) -> bytes | None:
    """Return the bytes of a signature; None for text that is not of this encoding. Hexadecimal
    digits may be of either case; base64 is the standard alphabet with its padding."""
    if len(text) > MAX_HEADER:
        return None
    if encoding == "hex":
        return bytes.fromhex(text) if _HEX.fullmatch(text) else None
    return decode_base64(text, padded=True)


def decode_base64(text: str, *, padded: bool = False) -> bytes | None:
    """Return the bytes of standard base64; None for anything else. Unless `padded`, the padding
    may be missing. Unlike the standard library, no character is skipped."""
    if not _BASE64.fullmatch(text):
        return None
    if not padded:
        text = text.rstrip("=")
        text += "=" * (-len(text) % 4)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def require_text(text: str, shape: str) -> str:
    """Return a secret that is used as it is. Raises InvalidConfiguration for a secret that is empty
    or too long, or has spaces around it or control characters in it, which are copying errors.
    `shape` says what the provider's secrets look like."""
    if not text:
        raise InvalidConfiguration(f"the secret is empty. {shape}")
    if len(text) > MAX_SECRET:
        raise InvalidConfiguration(f"the secret is longer than {MAX_SECRET} characters. {shape}")
    if text != text.strip():
        raise InvalidConfiguration(f"the secret has spaces before or after it. {shape}")
    if not text.isprintable():
        raise InvalidConfiguration(f"the secret has characters that are not printable. {shape}")
    return text


def require_prefix(text: str, prefix: str) -> None:
    """Raises InvalidConfiguration for a secret that does not begin with the prefix, or is nothing
    else."""
    if prefix and (not text.startswith(prefix) or text == prefix):
        raise InvalidConfiguration(
            f"the secret does not begin with {prefix}. The provider shows it next to the URL of "
            "the endpoint; an API key is another secret"
        )
