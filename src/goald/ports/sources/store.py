"""The stored sources of tenants."""

from collections.abc import Sequence
from typing import Protocol

from goald.domain.credentials.sources import SourceChange, SourceEntry, StoredSource


class SourceStore(Protocol):
    """The sources of every tenant; a call reads and changes those of its tenant only (D8). Times
    are in microseconds since the epoch. Each call may raise ServiceUnavailable."""

    async def open(self, tenant: str, name: str, key: str, now_us: int) -> StoredSource | None:
        """Return a source with its secrets to a caller that knows the key in its path; None if
        there is no such source or the key is not valid at `now_us`. Both take the same work, and
        secrets are decrypted only if the key is valid, so a caller without it learns nothing.
        Raises as `load` does if the key is valid."""

    async def load(self, tenant: str, name: str) -> StoredSource | None:
        """Return a source with its secrets; None if there is none. Raises EncryptionKeyMissing or
        SecretDamaged if the secrets cannot be decrypted."""

    async def find(self, tenant: str, name: str) -> SourceEntry | None:
        """Return a source without its secrets, which need not be readable."""

    async def list(self, tenant: str) -> Sequence[SourceEntry]:
        """Return the sources of a tenant, ordered by name (by code points)."""

    async def put(self, tenant: str, name: str, change: SourceChange, actor: str) -> bool:
        """Create a source, or replace all of it but the key in its path. Return whether there was
        none before. Atomic. Raises TooManySources, InvalidConfiguration for overrides that cannot
        be stored, and EncryptionKeyMissing if there are secrets and no key encrypts them; nothing
        is changed then."""

    async def rotate_key(
        self, tenant: str, name: str, digest: bytes, previous_expires_at_us: int | None, actor: str
    ) -> bool:
        """Replace the key in the path. The key before it is valid until `previous_expires_at_us`;
        None ends it immediately. A key before that one ends in any case. Return whether there is a
        source of this name."""

    async def delete(self, tenant: str, name: str, actor: str) -> bool:
        """Delete a source. Return whether there was one."""
