"""The checks of `goald doctor` on GOALD_SECRETS_KEYS: a key that is stored with the data
protects no copy of the data."""

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from goald.domain.errors import GoaldError, SettingsError
from goald.runtime.doctor.check import DoctorCheck, fail, ok, warn
from goald.runtime.embedded.secret import KEY_FILE, with_key_of_data_dir
from goald.settings import FILE, Settings

NAME = "encryption keys"
SETTING = "GOALD_SECRETS_KEYS"
_ELSEWHERE = (
    f"set {SETTING} to a key on another file system, or from a secret manager, in every shell that "
    "runs goald, and see docs/how-to/rotate-the-encryption-key.md"
)


def encryption_keys(
    settings: Settings, read_keys: Callable[[Settings], object]
) -> Iterator[DoctorCheck]:
    """Whether the keys are valid, readable by this user only, and stored apart from the embedded
    data. Blocks while files are read; raises nothing. `read_keys` raises SettingsError if a key is
    invalid."""
    data_dir = settings.data_dir.expanduser().absolute()
    is_embedded = settings.postgres_dsn is None
    try:
        read_keys(settings)
    except SettingsError as error:
        yield fail(NAME, str(error), f"correct {SETTING}")
        return
    if not settings.secrets_keys:
        yield _generated(data_dir) if is_embedded else _missing()
        return
    # Even if the settings have keys, the one of the data directory may still be in use.
    if is_embedded and (data_dir / KEY_FILE).exists():
        yield _generated(data_dir)
    together = list(_stored_with_data(settings, data_dir)) if is_embedded else []
    if together:
        yield warn(NAME, "; ".join(together), _ELSEWHERE)
    readable = [str(path) for path in _files(settings) if _others_may_read(path)]
    if readable:
        yield warn(NAME, f"other users may read {', '.join(readable)}", "chmod 600 these files")
    if not together and not readable:
        yield ok(NAME, f"{len(settings.secrets_keys)} in {SETTING}")


def stored_secrets(
    settings: Settings, dsn: str, missing_keys: Callable[[Settings, str], Mapping[str, int]]
) -> Iterator[DoctorCheck]:
    """A failure if a stored secret is encrypted under a key that is missing. No check if the
    secrets cannot be read, which another check reports. Blocks. `dsn`: the daemon's login.
    `missing_keys`: returns the number of secrets under each missing key."""
    try:
        missing = missing_keys(with_key_of_data_dir(settings), settings.postgres_owner_dsn or dsn)
    except (GoaldError, OSError):
        return
    if missing:
        number = sum(missing.values())
        yield fail(
            "stored secrets",
            f"{number:,} cannot be decrypted, so requests signed with them get 503: the key "
            f"{', '.join(missing)} is not in {SETTING}",
            f"set {SETTING} here as for `goald serve`, with that key; if it is lost, replace the "
            "secrets that `goald secrets rotate` lists",
        )


def _missing() -> DoctorCheck:
    return warn(
        NAME,
        f"{SETTING} is not set: the API stores no secrets, and those of an earlier release "
        "are in plain text",
        f"set {SETTING} to the output of `openssl rand -base64 32` or to a file with it, then run "
        "`goald secrets rotate`",
    )


def _generated(data_dir: Path) -> DoctorCheck:
    if not (data_dir / KEY_FILE).exists():
        return ok(NAME, "`goald serve --embedded` generates one")
    return warn(
        NAME,
        f"the key is stored with the data, in {data_dir / KEY_FILE}: a copy of the data directory "
        "contains both",
        f"{_ELSEWHERE}. On a development machine you can ignore this",
    )


def _stored_with_data(settings: Settings, data_dir: Path) -> Iterator[str]:
    """Which keys are on the file system of the data."""
    existing = data_dir
    while not existing.exists():
        existing = existing.parent
    device = existing.stat().st_dev
    for path in _files(settings):
        if path.is_relative_to(data_dir):
            yield f"{path} is in the data directory"
        elif path.exists() and path.stat().st_dev == device:
            yield f"{path} is on the same file system as the data"
    file = Path(os.environ.get("GOALD_CONFIG", FILE)).absolute()
    is_in_file = not any(name.upper() == SETTING for name in os.environ) and file.exists()
    if is_in_file and file.stat().st_dev == device:
        yield f"{file} contains keys and is on the same file system as the data"


def _files(settings: Settings) -> Iterator[Path]:
    """The entries that are paths. A key in base64 is no path of an existing file."""
    for entry in settings.secrets_keys or ():
        path = Path(entry.get_secret_value()).expanduser()
        if path.is_file():
            yield path.resolve()


def _others_may_read(path: Path) -> bool:
    return bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))
