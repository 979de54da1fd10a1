"""The secret with which an embedded goald signs tokens, generated once per data directory."""

import os
import secrets
from pathlib import Path

from pydantic import SecretStr

FILE = "token-secret"
_BYTES = 32


def token_secret(data_dir: Path) -> SecretStr:
    """The secret of this directory, generated if there is none, readable by this user only.

    The caller must hold the directory's lock. Raises OSError.
    """
    existing = find_token_secret(data_dir)
    if existing is not None:
        return existing
    secret = secrets.token_urlsafe(_BYTES)
    path = data_dir / FILE
    path.unlink(missing_ok=True)  # may be incomplete after a crash
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secret)
        file.flush()
        os.fsync(file.fileno())
    return SecretStr(secret)


def find_token_secret(data_dir: Path) -> SecretStr | None:
    """The secret of this directory; None if there is none. Raises OSError if it is not
    readable."""
    try:
        text = (data_dir / FILE).read_text().strip()
    except FileNotFoundError:
        return None
    return SecretStr(text) if len(text) >= _BYTES else None
