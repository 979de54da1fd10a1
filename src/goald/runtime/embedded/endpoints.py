"""Where the embedded services of a data directory are to be reached."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from goald.runtime.embedded.data_dir import holder_of

_FILE = Path("run") / "endpoints.json"


@dataclass(frozen=True)
class Endpoints:
    """How to connect to the embedded services; all through Unix sockets."""

    redis_url: str
    """For `redis.from_url`."""
    postgres_dsn: str
    """The role and database `goald`, for asyncpg and psycopg."""
    postgres_admin_dsn: str
    """The superuser, on database `postgres`: for tests and emergencies, never for the daemon."""


def write_endpoints(data_dir: Path, endpoints: Endpoints) -> None:
    """Publish to other programs on this machine where the services are."""
    path = data_dir / _FILE
    beside = path.with_suffix(".new")
    beside.touch(mode=0o600)
    beside.write_text(json.dumps(asdict(endpoints), indent=1) + "\n")
    beside.replace(path)


def remove_endpoints(data_dir: Path) -> None:
    """The services are there no more."""
    (data_dir / _FILE).unlink(missing_ok=True)


def running_endpoints(data_dir: Path) -> Endpoints | None:
    """The endpoints of the goald that runs on this data directory, or None where none does.

    What a run that was killed has left behind is not taken for a running one.
    """
    if holder_of(data_dir) is None:
        return None
    try:
        return Endpoints(**json.loads((data_dir.expanduser() / _FILE).read_text()))
    except (OSError, ValueError, TypeError):
        return None
