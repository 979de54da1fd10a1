"""The checks of `goald doctor` on Redis and Postgres: versions, and the settings that goald's
guarantees need (D10). Read-only. Each raises the errors of its library."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

from goald.domain.errors import GoaldError
from goald.ports.server_inspector import ServerCheck, ServerInspector
from goald.runtime.doctor.check import DoctorCheck, fail, ok, warn
from goald.runtime.doctor.memory import MemoryBounds, memory

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
        yield _roles(
            await connection.fetchval("SELECT current_setting('is_superuser')") == "on",
            [
                row["rolname"]
                for row in await connection.fetch(
                    "SELECT rolname FROM pg_roles WHERE rolname = ANY($1)"
                    " AND pg_has_role(current_user, oid, 'MEMBER')",
                    list(roles),
                )
            ],
            roles,
        )
        try:
            await asyncio.to_thread(migrations.check, dsn)
            yield ok("schema", f"revision {await asyncio.to_thread(migrations.current, dsn)}")
        except GoaldError as error:
            yield fail("schema", str(error), "goald migrate")
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


def _roles(superuser: bool, member_of: list[str], needed: Sequence[str]) -> DoctorCheck:
    missing = [role for role in needed if role not in member_of]
    if missing:
        return warn(
            "roles",
            f"the login is not a member of {', '.join(missing)}",
            "run `goald migrate`, which creates the roles, or set GOALD_POSTGRES_*_DSN",
        )
    if superuser:
        return warn(
            "roles",
            "the login is a superuser, which bypasses row-level security",
            "use a login that is only a member of the three roles",
        )
    return ok("roles", ", ".join(needed))


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
