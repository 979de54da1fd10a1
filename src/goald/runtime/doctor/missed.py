"""The check of `goald doctor` on the events that paused workflows missed (E19)."""

from collections.abc import Awaitable, Callable

from goald.domain.errors import GoaldError
from goald.runtime.doctor.check import DoctorCheck, ok, warn

NAME = "paused workflows"


async def missed_events(
    dsn: str, most_bytes: int, read: Callable[[str, int], Awaitable[int]]
) -> list[DoctorCheck]:
    """A warning if tenants have reached GOALD_MISSED_BYTES. No check if that cannot be read, which
    another check reports. `read`: reads the number of these tenants with this login."""
    try:
        full = await read(dsn, most_bytes)
    except (GoaldError, OSError):
        return []
    if not full:
        return [ok(NAME, "all missed events are kept")]
    return [
        warn(
            NAME,
            f"the missed events of {full:,} tenants take {most_bytes:,} bytes, so no further ones "
            "are kept",
            "activate their workflows, or raise GOALD_MISSED_BYTES; missed events are removed "
            "after 30 days",
        )
    ]
