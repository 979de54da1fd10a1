"""The checks of `goald doctor` on Redis and Postgres: versions, and the settings that goald's
guarantees need (D10). Read-only. Each raises the errors of its library."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from goald.ports.server_inspector import ServerCheck, ServerInspector
from goald.runtime.doctor.check import DoctorCheck, fail, ok, warn
from goald.runtime.doctor.memory import MemoryBounds, memory

if TYPE_CHECKING:
    from asyncpg import Connection

CONNECT_S = 5.0
CLOCK_S = 1.0
"""A larger difference of clocks makes E3 and the times of exits inaccurate."""
ROLES = ("goald_owner", "goald_api", "goald_shard")


async def redis(inspector: ServerInspector, bounds: MemoryBounds) -> AsyncIterator[DoctorCheck]:
    """The server's version, role and durability, its clock, and the memory of the streams. Closes
    the inspector."""
    try:
        for found in await inspector.checks():
            yield _redis_check(found)
        before = time.time()
        yield _clock("clock of Redis", before, await inspector.time())
        for check in memory(await inspector.levels(), bounds):
            yield check
    finally:
        await inspector.close()


def _redis_check(check: ServerCheck) -> DoctorCheck:
    """A server that may lose data is a warning; one too old or read-only is a failure."""
    name = f"Redis {check.name}"
    if check.ok:
        return ok(name, check.found)
    if check.ok is False and check.name in {"version", "role"}:
        return fail(name, check.found, check.advice)
    return warn(name, check.found, check.advice)


async def postgres(dsn: str, roles: Sequence[str] = ROLES) -> AsyncIterator[DoctorCheck]:
    """The version, the roles that this login needs, the schema, durable commits, the clock."""
    import asyncpg

    from goald import migrations

    connection = await asyncpg.connect(dsn, timeout=CONNECT_S, command_timeout=CONNECT_S)
    try:
        version = connection.get_server_version()
        text = str(await connection.fetchval("SHOW server_version"))
        yield (
            ok("Postgres", text)
            if version.major >= 14
            else fail("Postgres", f"{text} is too old", "use Postgres 14 or newer")
        )
        revision = await asyncio.to_thread(migrations.current, dsn)
        fault = migrations.mismatch(revision)
        yield _roles(await _membership(connection, roles), is_current=fault is None)
        yield (
            ok("schema", f"revision {revision}")
            if fault is None
            else fail("schema", fault, "run `goald migrate`, which also creates missing roles")
        )
        yield _durability(
            {
                name: await connection.fetchval("SELECT current_setting($1)", name)
                for name in ("fsync", "full_page_writes", "synchronous_commit")
            }
        )
        before = time.time()
        theirs = await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())::float8")
        yield _clock("clock of Postgres", before, theirs)
    finally:
        await connection.close()


@dataclass(frozen=True, slots=True)
class _Membership:
    """The roles of one login."""

    is_superuser: bool
    needed: Sequence[str]
    existing: frozenset[str]
    """The needed roles that exist."""
    granted: frozenset[str]
    """The needed roles that the login is a member of."""


async def _membership(connection: "Connection", roles: Sequence[str]) -> _Membership:
    rows = await connection.fetch(
        "SELECT rolname, pg_has_role(current_user, oid, 'MEMBER') AS granted"
        " FROM pg_roles WHERE rolname = ANY($1)",
        list(roles),
    )
    return _Membership(
        await connection.fetchval("SELECT current_setting('is_superuser')") == "on",
        roles,
        frozenset(row["rolname"] for row in rows),
        frozenset(row["rolname"] for row in rows if row["granted"]),
    )


_OTHER_LOGIN = {
    "goald_owner": "set GOALD_POSTGRES_OWNER_DSN for `goald migrate` and `goald audit verify`",
    "goald_api": "set GOALD_POSTGRES_API_DSN for the API and `goald apply`",
    "goald_shard": "grant it to the login of GOALD_POSTGRES_DSN, or use another login",
}
"""The advice if the login of GOALD_POSTGRES_DSN is not a member of the role."""


def _roles(login: _Membership, *, is_current: bool) -> DoctorCheck:
    """Whether the login has the roles that it needs. A login that may not migrate
    is the operator's choice if the schema is current (`is_current`)."""
    absent = [role for role in login.needed if role not in login.existing]
    if absent:
        return warn("roles", f"{', '.join(absent)} do not exist yet", "")
    missing = [role for role in login.needed if role not in login.granted]
    advice = "; ".join(_OTHER_LOGIN[role] for role in missing)
    if missing == ["goald_owner"] and is_current:
        granted = [role for role in login.needed if role in login.granted]
        return ok("roles", ", ".join(granted), f"{advice} (the daemon does not need it)")
    if missing:
        return warn("roles", f"the login is not a member of {', '.join(missing)}", advice)
    if login.is_superuser:
        return warn(
            "roles",
            "the login is a superuser, which bypasses row-level security",
            "use a login that is only a member of the three roles",
        )
    return ok("roles", ", ".join(login.needed))


def _durability(settings: dict[str, str]) -> DoctorCheck:
    text = ", ".join(f"{name} {value}" for name, value in settings.items())
    if "off" in settings.values():
        return warn("durability", f"{text}: a crash may lose committed data", "set them to on")
    return ok("durability", text)


def _clock(name: str, ours_before: float, theirs: float) -> DoctorCheck:
    """Our clock is read before and after, so that the duration of the call does not count."""
    late = theirs - time.time()
    early = ours_before - theirs
    difference = max(late, early, 0.0)
    if difference <= CLOCK_S:
        return ok(name, f"differs by less than {max(difference, 0.001):.3f} s")
    return warn(name, f"differs by {difference:.1f} s", "synchronize the clocks (NTP)")
