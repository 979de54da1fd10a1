"""The encryption of stored secrets, with the keys of the settings."""

import base64
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import structlog

from goald.adapters.keyring import Keyring, read_keys
from goald.settings import Settings

if TYPE_CHECKING:
    from goald.operations.secrets import SecretsRotation

_log = structlog.get_logger("goald.secrets")


def keyring(settings: Settings) -> Keyring:
    """The keys of GOALD_SECRETS_KEYS, none if it is not set. Blocks while files are read. Raises
    SettingsError for an invalid key."""
    return Keyring(read_keys([key.get_secret_value() for key in settings.secrets_keys or ()]))


def signing_secrets(keys: Keyring) -> Callable[[str], Sequence[str]]:
    """The secrets (`whsec_…`) with which the webhooks of a tenant are signed, the newest first: one
    from each key, so that receivers need no new secret before the old key is removed. None without
    keys."""

    @lru_cache(maxsize=10_000)
    def of_tenant(tenant: str) -> Sequence[str]:
        derived = keys.derived("signatures of webhooks", tenant)
        return tuple(f"whsec_{base64.b64encode(key).decode()}" for key in derived)

    return of_tenant


def rotate(
    dsn: str, settings: Settings, on_progress: Callable[[int], None] = lambda _: None
) -> "SecretsRotation":
    """Encrypt every stored secret under the newest key, with a login that may act as goald_owner;
    see `goald.operations.secrets`. Blocks."""
    from goald.adapters.postgres.stored_secrets import stored_secrets
    from goald.operations.secrets import rotate_secrets

    cipher = keyring(settings)
    with stored_secrets(dsn) as stores:
        return rotate_secrets(stores, cipher, on_progress)


def missing_keys(settings: Settings, dsn: str) -> dict[str, int]:
    """The number of stored secrets under each key that the settings do not contain, by the id of
    the key. `dsn`: a login that may act as goald_owner. Blocks. Raises as `stored_secrets`
    and `keyring` do."""
    from goald.adapters.postgres.stored_secrets import stored_secrets

    cipher = keyring(settings)
    counts: Counter[str] = Counter()
    with stored_secrets(dsn) as stores:
        for store in stores:
            counts.update(store.count_by_key())
    return {key: count for key, count in counts.items() if not cipher.has(key)}


def encrypt_secrets(settings: Settings) -> None:
    """Encrypt the secrets of an embedded Postgres, which no other release uses, under the newest
    key. Logs the secrets that no key decrypts."""
    for secret in rotate(settings.postgres.owner_dsn, settings).unreadable:
        _log.warning(
            "cannot decrypt a secret",
            kind=secret.kind, tenant=secret.tenant, name=secret.name, reason=secret.reason,
        )  # fmt: skip
