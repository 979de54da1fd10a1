"""Where the running goald is: what `goald serve` writes down, and how commands find it."""

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
    """How to reach one running goald. The addresses may hold passwords."""

    redis_url: str
    postgres_dsn: str
    pid: int | None = None
    """Of the daemon's driver; None where the instance was found through the settings."""
    started_at: str | None = None
    """RFC 3339."""
    api_url: str | None = None
    metrics_url: str | None = None
    data_dir: str | None = None


def write(data_dir: Path, instance: Instance) -> None:
    """Write `run/instance.json` under the data directory, readable by this user alone.

    Atomic: a reader sees the whole of it or the one before. OSError where it fails.
    """
    from goald.runtime.embedded.processes import start_time_of

    path = data_dir / FILE
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    born = start_time_of(instance.pid) if instance.pid is not None else None
    descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=".instance-")  # of mode 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump({**asdict(instance), "process": born}, file, indent=1)
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise


def remove(data_dir: Path) -> None:
    """Remove the file: this goald runs no more. Nothing where it is gone already."""
    (data_dir / FILE).unlink(missing_ok=True)


def find(settings: Settings) -> Instance:
    """The goald that the settings mean.

    Where both `GOALD_REDIS_URL` and `GOALD_POSTGRES_DSN` are set, that which uses them; else
    that which runs on the data directory, if its process (by id and start time) is alive.
    NotFound otherwise, saying what to do; SettingsError where one of the two is set alone, which
    means neither. Reads one small file; connects to nothing.
    """
    if settings.redis_url is not None and settings.postgres_dsn is not None:
        return Instance(redis_url=settings.redis_url, postgres_dsn=settings.postgres_dsn)
    if settings.redis_url is not None or settings.postgres_dsn is not None:
        there, missing = "GOALD_REDIS_URL", "GOALD_POSTGRES_DSN"
        if settings.redis_url is None:
            there, missing = missing, there
        raise SettingsError(
            f"{there} is set, and {missing} is not: set both to mean the goald that uses them, "
            "or neither to mean the one that runs on the data directory"
        )
    running = _running(settings.data_dir.expanduser())
    if running is None:
        raise NotFound(
            f"no goald is running on the data directory {settings.data_dir}: start one with "
            "`goald serve --embedded`, name its directory in GOALD_DATA_DIR, or set "
            "GOALD_REDIS_URL and GOALD_POSTGRES_DSN"
        )
    return running


def _running(data_dir: Path) -> Instance | None:
    try:
        written = json.loads((data_dir / FILE).read_text())
        born = written.pop("process")
        instance = Instance(**written)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None  # there is none, or a crash or another release left something else
    from goald.runtime.embedded.processes import start_time_of

    if instance.pid is None or born is None or start_time_of(instance.pid) != born:
        return None
    return instance
