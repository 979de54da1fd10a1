"""Re-encryption of stored secrets under the newest key."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from goald.domain.errors import EncryptionKeyMissing, SecretDamaged
from goald.ports.secrets.cipher import SecretCipher
from goald.ports.secrets.store import SecretStore, StoredSecret


@dataclass(frozen=True, slots=True)
class UnreadableSecret:
    """A secret that no key decrypts. It is unchanged."""

    kind: str
    """`webhook` or `source`."""
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
    stores: Sequence[SecretStore],
    cipher: SecretCipher,
    on_progress: Callable[[int], None] = lambda _: None,
) -> SecretsRotation:
    """Encrypt every secret of these stores under the newest key. Blocks.

    Idempotent: it can be interrupted and repeated, and changes nothing the second time. A secret
    that is replaced concurrently keeps its new value. `on_progress` receives the number of
    outdated secrets seen so far. Raises EncryptionKeyMissing, having changed nothing, if there is
    no key.
    """
    rotation = _Rotation(cipher, on_progress)
    for store in stores:
        rotation.rotate(store)
    return SecretsRotation(
        rotation.newest,
        sum(store.count() for store in stores),
        rotation.encrypted,
        rotation.reencrypted,
        rotation.unreadable,
    )


class _Rotation:
    def __init__(self, cipher: SecretCipher, on_progress: Callable[[int], None]) -> None:
        self.newest = cipher.newest_key_id
        self.encrypted = 0
        self.reencrypted = 0
        self.unreadable: list[UnreadableSecret] = []
        self._seen = 0
        self._cipher = cipher
        self._on_progress = on_progress

    def rotate(self, store: SecretStore) -> None:
        before = self.encrypted
        last: StoredSecret | None = None
        while page := store.outdated(self.newest, last):
            for secret in page:
                self._encrypt(store, secret)
            self._seen += len(page)
            self._on_progress(self._seen)
            last = page[-1]
        if self.encrypted > before:
            store.compact()

    def _encrypt(self, store: SecretStore, secret: StoredSecret) -> None:
        try:
            value = self._cipher.encrypt(_plain(secret, self._cipher), *secret.context)
        except (EncryptionKeyMissing, SecretDamaged) as error:
            old = secret.encrypted.key_id if secret.encrypted is not None else ""
            self.unreadable.append(
                UnreadableSecret(store.kind, secret.tenant, secret.name, old, str(error))
            )
            return
        if store.replace(secret, value):
            self.encrypted += secret.plain is not None
            self.reencrypted += secret.plain is None


def _plain(secret: StoredSecret, cipher: SecretCipher) -> bytes:
    if secret.plain is not None:
        return secret.plain
    if secret.encrypted is None:
        raise SecretDamaged("the row has no secret")
    return cipher.decrypt(secret.encrypted, *secret.context)
