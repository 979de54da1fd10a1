"""The encryption of values at rest."""

from typing import Protocol

from goald.domain.credentials.encrypted import EncryptedValue


class SecretCipher(Protocol):
    """Encrypts values for the place where they are stored. Does not block."""

    @property
    def newest_key_id(self) -> str:
        """The key that encrypts. Raises EncryptionKeyMissing if there is no key."""

    def encrypt(self, value: bytes, *context: str) -> EncryptedValue:
        """Encrypt under the newest key. `context` names the place of the value: it decrypts only
        for the same context. Raises EncryptionKeyMissing if there is no key."""

    def decrypt(self, value: EncryptedValue, *context: str) -> bytes:
        """Decrypt under any key. Raises EncryptionKeyMissing if its key is not among the keys,
        SecretDamaged if the value was changed or belongs to another place."""
