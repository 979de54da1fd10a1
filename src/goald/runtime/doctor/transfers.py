"""The check of `goald doctor` on merged contacts whose enrollments do not move (E21)."""

from collections.abc import Awaitable, Callable

from goald.domain.errors import GoaldError
from goald.domain.records.transfers import PendingTransfers
from goald.runtime.doctor.check import DoctorCheck, ok, warn

NAME = "merged contacts"
SLOW_SECONDS = 60.0


async def merged_contacts(
    dsn: str, read: Callable[[str], Awaitable[PendingTransfers]]
) -> list[DoctorCheck]:
    """A warning if transfers or forwards are stuck. No check if they cannot be read, which another
    check reports. `read`: reads the state with this login."""
    try:
        return [_check(await read(dsn))]
    except (GoaldError, OSError):
        return []


def _check(pending: PendingTransfers) -> DoctorCheck:
    if pending.refused:
        return warn(
            NAME,
            f"Postgres refuses to move the enrollments of {pending.refused:,}, the first since "
            f"{pending.refused_oldest_s:,.0f} s",
            "the column `reason` of goald.transfers has the cause; the next attempt is within 5 "
            "minutes, and nothing is lost meanwhile",
        )
    if pending.waiting_oldest_s >= SLOW_SECONDS:
        return warn(
            NAME,
            f"{pending.waiting:,} wait for their enrollments, the first for "
            f"{pending.waiting_oldest_s:,.0f} s",
            "check with `goald status` that every shard is ready",
        )
    if pending.forwards_to_deleted:
        return warn(
            NAME,
            f"{pending.forwards_to_deleted:,} continue under deleted ids",
            "send `contact.deleted` of the contact that continued again",
        )
    return ok(NAME, f"{pending.waiting:,} are moving" if pending.waiting else "all have moved")
