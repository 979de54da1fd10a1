"""Re-encryption of stored secrets under the newest key."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from goald.domain.errors import EncryptionKeyMissing, SecretDamaged
from goald.ports.secrets.cipher import SecretCipher
from goald.ports.secrets.store import SecretStore, StoredSecret


@dataclass(frozen=True, slots=True)
class UnreadableSecret:
    """A secret that no key decrypts. It is unchanged."""

    tenant: str
    name: str
    key_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class SecretsRotation:
    """The result of a rotation."""

    key_id: str
    """The newest key."""
    total: int
    """All secrets, including those that were already encrypted under the newest key."""
    encrypted: int
    """Secrets that were stored in plain text before."""
    reencrypted: int
    """Secrets that were encrypted under another key before."""
    unreadable: Sequence[UnreadableSecret]


def rotate_secrets(
    store: SecretStore,
    cipher: SecretCipher,
    on_progress: Callable[[int], None] = lambda _: None,
) -> SecretsRotation:
    """Encrypt every secret under the newest key. Blocks.

    Idempotent: it can be interrupted and repeated, and changes nothing the second time. A secret
    that is replaced concurrently keeps its new value. `on_progress` receives the number of
    outdated secrets seen so far. Raises EncryptionKeyMissing, having changed nothing, if there is
    no key.
    """
    newest = cipher.newest_key_id
    encrypted = reencrypted = seen = 0
    unreadable: list[UnreadableSecret] = []
    last: StoredSecret | None = None
    while page := store.outdated(newest, last):
        for secret in page:
            try:
                value = cipher.encrypt(_plain(secret, cipher), *secret.context)
            except (EncryptionKeyMissing, SecretDamaged) as error:
                old = secret.encrypted.key_id if secret.encrypted is not None else ""
                unreadable.append(UnreadableSecret(secret.tenant, secret.name, old, str(error)))
            else:
                if store.replace(secret, value):
                    encrypted += secret.plain is not None
                    reencrypted += secret.plain is None
        seen += len(page)
        on_progress(seen)
        last = page[-1]
    if encrypted:
        store.compact()
    return SecretsRotation(newest, store.count(), encrypted, reencrypted, unreadable)


def _plain(secret: StoredSecret, cipher: SecretCipher) -> bytes:
    if secret.plain is not None:
        return secret.plain
    if secret.encrypted is None:
        raise SecretDamaged("the row has no secret")
    return cipher.decrypt(secret.encrypted, *secret.context)
