"""The secrets of an embedded goald, generated once per data directory: the secret that signs
tokens, and the key that encrypts stored secrets."""

import base64
import os
import secrets
from pathlib import Path

from pydantic import SecretStr

from goald.settings import Settings

FILE = "token-secret"
KEY_FILE = "secrets-key"
_BYTES = 32


def token_secret(data_dir: Path) -> SecretStr:
    """The secret of this directory, generated if there is none, readable by this user only.

    The caller must hold the directory's lock. Raises OSError.
    """
    existing = find_token_secret(data_dir)
    if existing is not None:
        return existing
    return _create(data_dir / FILE, secrets.token_urlsafe(_BYTES))


def find_token_secret(data_dir: Path) -> SecretStr | None:
    """The secret of this directory; None if there is none. Raises OSError if it is not
    readable."""
    return _read(data_dir / FILE)


def secrets_key(data_dir: Path) -> SecretStr:
    """The encryption key of this directory in base64, generated if there is none, readable by this
    user only.

    The caller must hold the directory's lock. Raises OSError.
    """
    existing = find_secrets_key(data_dir)
    if existing is not None:
        return existing
    return _create(data_dir / KEY_FILE, base64.b64encode(secrets.token_bytes(_BYTES)).decode())


def find_secrets_key(data_dir: Path) -> SecretStr | None:
    """The encryption key of this directory; None if there is none. Raises OSError if it is not
    readable."""
    return _read(data_dir / KEY_FILE)


def with_key_of_data_dir(settings: Settings) -> Settings:
    """The settings with the key of the data directory as the last one, for commands that use the
    goald there. Unchanged if the settings name the servers. Raises OSError."""
    if settings.redis_url is not None and settings.postgres_dsn is not None:
        return settings
    found = find_secrets_key(settings.data_dir.expanduser())
    if found is None:
        return settings
    return settings.model_copy(update={"secrets_keys": (*(settings.secrets_keys or ()), found)})


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user can read, durably. It is replaced as a whole, or unchanged.
    Raises OSError."""
    temporary = path.with_name(f"{path.name}.new")
    temporary.unlink(missing_ok=True)  # may remain of a crash
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _create(path: Path, secret: str) -> SecretStr:
    write_private(path, secret)
    return SecretStr(secret)


def _read(path: Path) -> SecretStr | None:
    try:
        text = path.read_text().strip()
    except FileNotFoundError:
        return None
    return SecretStr(text) if len(text) >= _BYTES else None
