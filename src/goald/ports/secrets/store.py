"""The stored secrets of all tenants, for a rotation of keys."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from goald.domain.credentials.encrypted import EncryptedValue


@dataclass(frozen=True, slots=True)
class StoredSecret:
    """A secret as it is stored: in plain text by an earlier release, else encrypted."""

    tenant: str
    name: str
    plain: bytes | None
    encrypted: EncryptedValue | None
    context: tuple[str, ...]


class SecretStore(Protocol):
    """All secrets of one kind, of all tenants. Blocks. Each call may raise ServiceUnavailable."""

    @property
    def kind(self) -> str:
        """The kind of object that has the secrets: `webhook` or `source`."""

    def count(self) -> int:
        """Return the number of secrets."""

    def count_by_key(self) -> Mapping[str, int]:
        """Return the number of encrypted secrets under each key, by the id of the key."""

    def outdated(self, key_id: str, after: StoredSecret | None) -> Sequence[StoredSecret]:
        """Return the next secrets that are not encrypted under this key, ordered by tenant and
        name; an empty list at the end."""

    def replace(self, secret: StoredSecret, value: EncryptedValue) -> bool:
        """Replace the stored value if it is still the same. Return whether it was."""

    def compact(self) -> None:
        """Remove the previous versions of changed rows from the table's files."""
