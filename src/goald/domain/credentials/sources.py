"""Sources as they are stored: the provider's secrets, and the key in the path."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from goald.domain.errors import InvalidConfiguration

MAX_SOURCES: Final = 100
"""The sources of a tenant."""
MAX_SECRETS: Final = 8
"""The secrets of a source, so that a rotation can overlap."""
MAX_OVERRIDES_BYTES: Final = 64 << 10
KEY_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class PathKeys:
    """The digests of the keys that a path may end in."""

    digest: bytes
    previous_digest: bytes | None = None
    previous_expires_at_us: int = 0

    def accepts(self, key: str, now_us: int) -> bool:
        """Return whether a key is one of these, in a time that does not depend on it or on
        which one it is."""
        digest = digest_of(key)
        is_current = hmac.compare_digest(digest, self.digest)
        is_previous = hmac.compare_digest(digest, self.previous_digest or bytes(len(digest)))
        return is_current or (is_previous and now_us < self.previous_expires_at_us)


NO_KEYS: Final = PathKeys(bytes(hashlib.sha256().digest_size))
"""Accepts no key, in the time in which others do."""


@dataclass(frozen=True, slots=True)
class SourceEntry:
    """A source without anything secret."""

    name: str
    preset: str
    overrides: Mapping[str, Any]
    secret_count: int
    created_at_us: int
    updated_at_us: int
    key_created_at_us: int
    previous_key_expires_at_us: int | None


@dataclass(frozen=True, slots=True)
class StoredSource:
    """A source with what authenticates its deliveries."""

    entry: SourceEntry
    secrets: tuple[str, ...] = field(repr=False)
    """In the forms in which the provider shows them."""
    keys: PathKeys = field(repr=False)


@dataclass(frozen=True, slots=True)
class SourceChange:
    """The new state of a source."""

    preset: str
    overrides: Mapping[str, Any]
    key_digest: bytes = field(repr=False)
    """The digest of the key in the path if the source is created, else without effect."""
    secrets: tuple[str, ...] | None = field(default=None, repr=False)
    """None keeps those of an existing source."""


def digest_of(key: str) -> bytes:
    """Return the digest of a key in a path, by which it is stored."""
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()


def overrides_text(overrides: Mapping[str, Any]) -> str:
    """Return overrides as JSON in the order of their members. Raises InvalidConfiguration if they
    are larger than MAX_OVERRIDES_BYTES or Postgres cannot store them."""
    try:
        text = json.dumps(overrides, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        size = len(text.encode())
    except (TypeError, ValueError, RecursionError):  # UnicodeEncodeError is a ValueError
        raise InvalidConfiguration("the overrides are not JSON that can be stored") from None
    if size > MAX_OVERRIDES_BYTES:
        raise InvalidConfiguration(
            f"the overrides take {size:,} bytes, more than {MAX_OVERRIDES_BYTES:,}"
        )
    if r"\u0000" in text.replace(r"\\", ""):
        raise InvalidConfiguration("the overrides contain a null character")
    return text
