"""The addresses of a running goald: `goald serve` writes them down, commands find them."""

import contextlib
import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from goald.domain.errors import NotFound, SettingsError
from goald.settings import Settings

FILE = Path("run") / "instance.json"


@dataclass(frozen=True, slots=True)
class Instance:
    """The addresses of one running goald. They may contain passwords."""

    redis_url: str
    postgres_dsn: str
    pid: int | None = None
    """The process id of `goald serve`; None if the addresses come from the settings."""
    started_at: str | None = None
    """RFC 3339."""
    api_url: str | None = None
    metrics_url: str | None = None
    data_dir: str | None = None


def write(data_dir: Path, instance: Instance) -> None:
    """Write `run/instance.json` under the data directory, readable by this user only.

    Atomic: a reader sees the old file or the new one. Raises OSError.
    """
    from goald.runtime.embedded.processes import start_time_of

    path = data_dir / FILE
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    started = start_time_of(instance.pid) if instance.pid is not None else None
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".instance-")  # of mode 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump({**asdict(instance), "process": started}, file, indent=1)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def remove(data_dir: Path) -> None:
    """Remove the file, because this goald has stopped. Does nothing if there is none."""
    (data_dir / FILE).unlink(missing_ok=True)


def find(settings: Settings) -> Instance:
    """The goald that the settings refer to.

    If both `GOALD_REDIS_URL` and `GOALD_POSTGRES_DSN` are set, the goald that uses them;
    otherwise the goald on the data directory, if its process (by id and start time) is
    alive. Raises NotFound if there is none, and SettingsError if only one of the two is set. Reads
    one small file; connects to nothing.
    """
    if settings.redis_url is not None and settings.postgres_dsn is not None:
        return Instance(redis_url=settings.redis_url, postgres_dsn=settings.postgres_dsn)
    if settings.redis_url is not None or settings.postgres_dsn is not None:
        present, missing = "GOALD_REDIS_URL", "GOALD_POSTGRES_DSN"
        if settings.redis_url is None:
            present, missing = missing, present
        raise SettingsError(
            f"{present} is set, but {missing} is not. Set both to use the goald on those servers, "
            "or neither to use the goald on the data directory."
        )
    running = _running(settings.data_dir.expanduser())
    if running is None:
        raise NotFound(
            f"No goald is running on the data directory {settings.data_dir}. Start one with "
            "`goald serve --embedded`, set GOALD_DATA_DIR to its directory, or set "
            "GOALD_REDIS_URL and GOALD_POSTGRES_DSN."
        )
    return running


def _running(data_dir: Path) -> Instance | None:
    try:
        stored = json.loads((data_dir / FILE).read_text())
        started = stored.pop("process")
        instance = Instance(**stored)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None  # no file, or one cut short by a crash or written by another release
    from goald.runtime.embedded.processes import start_time_of

    if instance.pid is None or started is None or start_time_of(instance.pid) != started:
        return None
    return instance
