"""The secret that an embedded goald signs tokens with: made once for a data directory."""

import os
import secrets
from pathlib import Path

from pydantic import SecretStr

FILE = "token-secret"
_BYTES = 32


def token_secret(data_dir: Path) -> SecretStr:
    """The secret under this directory, made where there is none, readable by this user alone.

    Whoever calls holds the directory's lock. OSError where it cannot be kept.
    """
    found = find_token_secret(data_dir)
    if found is not None:
        return found
    made = secrets.token_urlsafe(_BYTES)
    path = data_dir / FILE
    path.unlink(missing_ok=True)  # what a crash left half written
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(made)
        file.flush()
        os.fsync(file.fileno())
    return SecretStr(made)


def find_token_secret(data_dir: Path) -> SecretStr | None:
    """The secret under this directory; None where there is none. OSError where it may not be
    read."""
    try:
        text = (data_dir / FILE).read_text().strip()
    except FileNotFoundError:
        return None
    return SecretStr(text) if len(text) >= _BYTES else None
